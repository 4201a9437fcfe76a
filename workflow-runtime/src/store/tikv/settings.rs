//! Where the cluster is and how long to wait for it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::layout::{Layout, MAX_NAME_BYTES};
use super::{BATCH_BYTES, TikvStore};
use crate::store::Error;

const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(30);

/// How a [`TikvStore`] is connected.
///
/// ```no_run
/// # async fn connect() -> Result<(), workflow_runtime::store::Error> {
/// use std::time::Duration;
/// use workflow_runtime::store::TikvStore;
///
/// let store = TikvStore::builder(["pd-0.internal:2379", "pd-1.internal:2379", "pd-2.internal:2379"])
///     .deployment("orders")
///     .tls("ca.pem", "client.pem", "client.key")
///     .patience(Duration::from_secs(10))
///     .connect()
///     .await?;
/// # drop(store);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use = "`connect` connects the store"]
pub struct TikvStoreBuilder {
    pub(super) endpoints: Vec<String>,
    pub(super) deployment: String,
    pub(super) tls: Option<Tls>,
    pub(super) request_timeout: Duration,
    pub(super) patience: Duration,
    pub(super) batch_bytes: usize,
}

/// The files of mutual TLS, in PEM form.
#[derive(Debug, Clone)]
pub(super) struct Tls {
    pub(super) authority: PathBuf,
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
}

impl TikvStoreBuilder {
    pub(super) fn new(endpoints: impl IntoIterator<Item = impl Into<String>>) -> Self {
        TikvStoreBuilder {
            endpoints: endpoints.into_iter().map(Into::into).collect(),
            deployment: "default".to_owned(),
            tls: None,
            request_timeout: REQUEST_TIMEOUT,
            patience: PATIENCE,
            batch_bytes: BATCH_BYTES,
        }
    }

    /// The name under which this deployment keeps its keys; `default` unless told. Deployments of different names
    /// share a cluster and see nothing of each other. 1 to 64 letters, digits, `-`, `_` and `.`.
    pub fn deployment(mut self, name: impl Into<String>) -> Self {
        self.deployment = name.into();
        self
    }

    /// Speaks TLS with the cluster: the certificate of its authority, this client's certificate and its key, files in
    /// PEM form.
    pub fn tls(
        mut self,
        authority: impl AsRef<Path>,
        certificate: impl AsRef<Path>,
        key: impl AsRef<Path>,
    ) -> Self {
        self.tls = Some(Tls {
            authority: authority.as_ref().to_owned(),
            certificate: certificate.as_ref().to_owned(),
            key: key.as_ref().to_owned(),
        });
        self
    }

    /// How long one request to TiKV or PD may take before it counts as lost; 2 seconds unless told, at least 10
    /// milliseconds.
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = timeout;
        self
    }

    /// How long a read or commit goes on trying while the cluster does not serve, before it gives
    /// [`Error::Unavailable`] or [`Error::Unknown`]; 30 seconds unless told, at least the request timeout. It should be
    /// longer than a leader election (about 10 seconds).
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// The limit of one batch in bytes, keys and values: 6 MiB unless told, which fits into the 8 MiB that TiKV takes as
    /// one entry of its log (`raftstore.raft-entry-max-size`). Lower it where that is set lower; it cannot be raised
    /// above 7 MiB.
    pub fn batch_bytes(mut self, bytes: usize) -> Self {
        self.batch_bytes = bytes;
        self
    }

    /// Connects to the cluster, and checks that it can be read and written.
    ///
    /// # Errors
    /// [`Error::Settings`]: a setting is wrong; the message names it. [`Error::Unavailable`]: no PD answers at the
    /// endpoints, or TiKV does not serve. [`Error::Format`]: the deployment's records are of another version.
    pub async fn connect(self) -> Result<TikvStore, Error> {
        self.check()?;
        TikvStore::connect_with(self).await
    }

    fn check(&self) -> Result<(), Error> {
        let wrong = |text: String| Err(Error::Settings(text));
        if self.endpoints.is_empty() {
            return wrong(
                "no endpoint of PD is given; name at least one, such as `127.0.0.1:2379`".to_owned(),
            );
        }
        let mut seen = BTreeSet::new();
        for endpoint in &self.endpoints {
            if let Err(problem) = check_endpoint(endpoint) {
                return wrong(format!(
                    "`{endpoint}` is not an endpoint of PD: {problem}; write host:port, such as `127.0.0.1:2379`"
                ));
            }
            if !seen.insert(endpoint) {
                return wrong(format!(
                    "the endpoint `{endpoint}` is given twice; name each PD once"
                ));
            }
        }
        if !Layout::is_name(&self.deployment) {
            return wrong(format!(
                "{:?} cannot be the name of a deployment: use 1 to {MAX_NAME_BYTES} letters, digits, `-`, `_` and `.`",
                self.deployment
            ));
        }
        if let Some(tls) = &self.tls {
            for (what, path) in [
                ("authority's certificate", &tls.authority),
                ("certificate", &tls.certificate),
                ("key", &tls.key),
            ] {
                if let Err(error) = std::fs::File::open(path) {
                    return wrong(format!("the {what} for TLS at `{}`: {error}", path.display()));
                }
            }
        }
        let least = Duration::from_millis(10);
        if self.request_timeout < least {
            return wrong(format!(
                "a request timeout of {:?} is too short; give at least {least:?}",
                self.request_timeout
            ));
        }
        if self.patience < self.request_timeout {
            return wrong(format!(
                "a patience of {:?} is shorter than the request timeout of {:?}; give at least that",
                self.patience, self.request_timeout
            ));
        }
        let most = 7 << 20;
        if !(1024..=most).contains(&self.batch_bytes) {
            return wrong(format!(
                "batches of {} bytes: the limit must be 1024 to {most} bytes",
                self.batch_bytes
            ));
        }
        Ok(())
    }
}

fn check_endpoint(endpoint: &str) -> Result<(), &'static str> {
    let address = ["http://", "https://"]
        .iter()
        .find_map(|scheme| endpoint.strip_prefix(scheme))
        .unwrap_or(endpoint);
    if address.contains("://") {
        return Err("its scheme is not http or https");
    }
    if address.contains(['/', '?', '#', '@']) || address.contains(char::is_whitespace) {
        return Err("it has more than a host and a port");
    }
    let (host, port) = address.rsplit_once(':').ok_or("it has no port")?;
    if host.is_empty() {
        return Err("it has no host");
    }
    match port.parse::<u16>() {
        Ok(port) if port > 0 => Ok(()),
        _ => Err("its port is not a number from 1 to 65535"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints() {
        for endpoint in [
            "127.0.0.1:2379",
            "pd-0.internal:1",
            "http://pd:2379",
            "https://pd:2379",
            "[::1]:2379",
        ] {
            assert_eq!(check_endpoint(endpoint), Ok(()), "{endpoint}");
        }
        for endpoint in [
            "",
            "pd",
            "pd:",
            ":2379",
            "pd:0",
            "pd:65536",
            "pd:x",
            "tcp://pd:1",
            "pd:1/path",
            "a b:1",
        ] {
            assert!(check_endpoint(endpoint).is_err(), "{endpoint}");
        }
    }

    #[test]
    fn wrong_settings_are_named() {
        let one = || TikvStoreBuilder::new(["pd:2379"]);
        let milliseconds = Duration::from_millis;
        for (builder, named) in [
            (TikvStoreBuilder::new(Vec::<String>::new()), "no endpoint"),
            (TikvStoreBuilder::new(["pd"]), "`pd`"),
            (TikvStoreBuilder::new(["pd:1", "pd:1"]), "twice"),
            (one().deployment("a b"), "\"a b\""),
            (one().tls("/no/ca", "/no/certificate", "/no/key"), "/no/ca"),
            (one().request_timeout(milliseconds(1)), "1ms"),
            (one().patience(milliseconds(100)), "100ms"),
            (one().batch_bytes(8 << 20), "8388608"),
        ] {
            match builder.check() {
                Err(Error::Settings(text)) => assert!(text.contains(named), "{text}"),
                other => panic!("{builder:?}: {other:?}"),
            }
        }
        assert!(one().check().is_ok());
    }
}
