//! Connecting: wrong settings, nobody there, deployments apart.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use bytes::Bytes;
use workflow_runtime::store::{Batch, Error, Store, TikvStore, Verdict, Write};

use super::cluster::{fresh_name, shared};

#[tokio::test]
async fn nobody_answers() {
    // A port that nobody listens on, and one that takes connections and never says a word.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    for address in [closed, silent.local_addr().unwrap()] {
        let begin = Instant::now();
        let builder = TikvStore::builder([address.to_string()]).request_timeout(Duration::from_millis(200));
        let error = builder.connect().await.unwrap_err();
        assert!(matches!(error, Error::Unavailable(_)), "{error}");
        assert!(error.to_string().contains(&address.to_string()), "{error}");
        assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    }
}

#[tokio::test]
async fn wrong_settings() {
    let error = TikvStore::connect(["127.0.0.1"]).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "`127.0.0.1` is not an endpoint of PD: it has no port; write host:port, such as `127.0.0.1:2379`"
    );
    let error = TikvStore::builder(["127.0.0.1:2379"])
        .tls("/nowhere/ca.pem", "/nowhere/client.pem", "/nowhere/client.key")
        .connect()
        .await
        .unwrap_err();
    assert!(error.to_string().contains("`/nowhere/ca.pem`"), "{error}");
}

#[tokio::test]
async fn deployments_are_apart() {
    let name = fresh_name("apart");
    let open = async |name: &str| {
        let store = TikvStore::builder(shared().0).deployment(name).connect().await;
        store.unwrap()
    };
    // One name begins the other.
    let stores = [open(&name).await, open(&format!("{name}x")).await];
    for (number, store) in stores.iter().enumerate() {
        let batch = Batch {
            conditions: vec![],
            writes: vec![Write::Put(Bytes::from(format!("key {number}")), Bytes::new())],
        };
        assert_eq!(store.commit(&[batch]).await.unwrap(), [Verdict::Applied]);
    }
    for (number, store) in stores.iter().enumerate() {
        let range = Bytes::new()..Bytes::from(vec![0xff; 8]);
        let found = store.scan(range, 10).await.unwrap();
        assert_eq!(
            found,
            [(Bytes::from(format!("key {number}")), Bytes::new())],
            "deployment {number}"
        );
    }
    let text = format!("{:?}", stores[0]);
    assert!(text.contains(&name), "{text}");
}
