//! What a commit costs in each store, beside the disk's own append and sync in the same run.
//!
//! `cargo bench -p workflow-runtime --bench store`; an argument chooses the folder (default: the temporary folder).

use std::fs::File;
use std::future::Future;
use std::io::Write as _;
use std::path::Path;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use workflow_runtime::store::{
    Batch, Condition, Durability, EmbeddedStore, Error, MemoryStore, Store, Verdict, Write,
};

const RUN: Duration = Duration::from_secs(3);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<_> = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with("--"))
        .collect();
    let folder = match arguments.first() {
        Some(parent) => tempfile::tempdir_in(parent)?,
        None => tempfile::tempdir()?,
    };
    for bytes in [256, 64 * 1024] {
        floor(folder.path(), bytes)?;
    }
    for (durability, name) in [(Durability::Synced, "synced"), (Durability::Relaxed, "relaxed")] {
        for size in [1, 16, 256, 1024] {
            let path = folder.path().join(format!("{name}-{size}"));
            let store = EmbeddedStore::builder(&path).durability(durability).open()?;
            measure(
                &format!("embedded, {name}, groups of {size}"),
                &store,
                size,
                "0001",
            )?;
            if size == 1 {
                drop(store);
                // The journal is no longer preallocated then.
                let store = EmbeddedStore::builder(&path).durability(durability).open()?;
                measure(
                    &format!("embedded, {name}, groups of {size}, reopened"),
                    &store,
                    size,
                    "0002",
                )?;
            }
        }
    }
    measure("memory, groups of 64", &MemoryStore::new(), 64, "0001")?;
    measure_puts("memory, single puts, groups of 64", &MemoryStore::new(), 64)?;
    Ok(())
}

/// The disk: append and `fdatasync`.
fn floor(folder: &Path, bytes: usize) -> std::io::Result<()> {
    let mut file = File::create(folder.join("floor"))?;
    let block = vec![7; bytes];
    let (start, mut count) = (Instant::now(), 0);
    while start.elapsed() < RUN {
        file.write_all(&block)?;
        file.sync_data()?;
        count += 1;
    }
    report(
        &format!("disk, append of {bytes} bytes and fdatasync"),
        count,
        1,
        start.elapsed(),
    );
    Ok(())
}

/// Batches as the engine makes them: under a common fence and the record's previous value, the record is replaced.
fn measure(name: &str, store: &dyn Store, size: usize, shard: &str) -> Result<(), Error> {
    const RECORDS: u64 = 10_000;
    let (fence, epoch) = (
        Bytes::from(format!("shard/{shard}/fence")),
        Bytes::from_static(b"epoch 17"),
    );
    let put = Write::Put(fence.clone(), epoch.clone());
    ready(store.commit(&[Batch {
        conditions: vec![],
        writes: vec![put],
    }]))?;
    let key = |number: u64| Bytes::from(format!("shard/{shard}/instance/{:016x}/state", number % RECORDS));
    let value = |number: u64| {
        let mut value = vec![7; 130];
        value[..8].copy_from_slice(&number.to_be_bytes());
        Bytes::from(value)
    };
    let batch = |number: u64| {
        let key = key(number);
        let previous = match number.checked_sub(RECORDS) {
            None => Condition::Absent(key.clone()),
            Some(previous) => Condition::Equals(key.clone(), value(previous)),
        };
        Batch {
            conditions: vec![Condition::Equals(fence.clone(), epoch.clone()), previous],
            writes: vec![Write::Put(key, value(number))],
        }
    };
    run(name, store, size, batch)
}

fn measure_puts(name: &str, store: &dyn Store, size: usize) -> Result<(), Error> {
    run(name, store, size, |number| {
        let key = Bytes::copy_from_slice(&(number % 100_000).to_be_bytes());
        Batch {
            conditions: vec![],
            writes: vec![Write::Put(key, Bytes::from_static(b"value"))],
        }
    })
}

/// Times the commits only, not the making of the batches.
fn run(name: &str, store: &dyn Store, size: usize, batch: impl Fn(u64) -> Batch) -> Result<(), Error> {
    let (mut elapsed, mut numbers, mut groups) = (Duration::ZERO, 0.., 0);
    while elapsed < RUN {
        let group: Vec<Batch> = numbers.by_ref().take(size).map(&batch).collect();
        let start = Instant::now();
        let verdicts = ready(store.commit(&group))?;
        elapsed += start.elapsed();
        assert!(verdicts.iter().all(|verdict| *verdict == Verdict::Applied));
        groups += 1;
    }
    report(name, groups, size, elapsed);
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "counts of seconds of work fit")]
fn report(name: &str, groups: usize, size: usize, elapsed: Duration) {
    let rate = (groups * size) as f64 / elapsed.as_secs_f64();
    let each = elapsed.as_secs_f64() * 1e6 / groups as f64;
    println!("{name:45} {each:9.1} us/group {rate:12.0} batches/s");
}

/// These stores never wait for anything but the disk.
fn ready<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => unreachable!("the store is blocking"),
    }
}
