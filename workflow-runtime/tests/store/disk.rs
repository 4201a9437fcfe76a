//! A disk that is full, for real: a small file system in memory.

use std::fs;
use std::path::Path;
use std::process::Command;

use bytes::Bytes;
use workflow_runtime::store::{Batch, Durability, EmbeddedStore, Error, Store, Verdict, Write};

const MEGABYTE: usize = 1 << 20;

/// A mounted file system of its own, gone with the value.
struct Disk(tempfile::TempDir);

impl Disk {
    /// `None`, and a line that says why, where it cannot be mounted.
    fn mount(megabytes: usize) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let size = format!("size={megabytes}m");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
            .arg(folder.path())
            .output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self(folder)),
            Ok(output) => {
                println!(
                    "skipped: no file system can be mounted: {}",
                    String::from_utf8_lossy(&output.stderr)
                );
                None
            }
            Err(error) => {
                println!("skipped: `mount` cannot be run: {error}");
                None
            }
        }
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg(self.0.path()).status();
        if !unmounted.is_ok_and(|status| status.success()) {
            println!("`{}` is still mounted", self.0.path().display());
        }
    }
}

fn key(number: u64) -> Bytes {
    Bytes::from(format!("{number:010}"))
}

fn batch(number: u64) -> Batch {
    let value = Bytes::from(vec![b'v'; 3000 + usize::try_from(number % 1000).unwrap()]);
    Batch {
        conditions: vec![],
        writes: vec![Write::Put(key(number), value)],
    }
}

/// Commits numbers from `next` on, until it fails; returns the number that failed.
async fn fill(store: &EmbeddedStore, mut next: u64, end: u64) -> (u64, Option<Error>) {
    while next < end {
        match store.commit(&[batch(next)]).await {
            Ok(verdicts) => assert_eq!(verdicts, [Verdict::Applied]),
            Err(error) => return (next, Some(error)),
        }
        next += 1;
    }
    (next, None)
}

async fn expect_exactly(store: &EmbeddedStore, count: u64) {
    let pairs = store
        .scan(Bytes::new()..Bytes::from_static(b"~"), usize::MAX)
        .await
        .unwrap();
    let expected = (0..count).flat_map(|number| batch(number).writes);
    let found = pairs.into_iter().map(|(key, value)| Write::Put(key, value));
    assert!(found.eq(expected), "exactly the {count} acknowledged batches");
}

async fn check_full_disk(durability: Durability, write_buffer_bytes: u64) {
    let Some(disk) = Disk::mount(24) else { return };
    let folder = disk.path().join("store");
    let open = || {
        let builder = EmbeddedStore::builder(&folder).durability(durability);
        builder.write_buffer_bytes(write_buffer_bytes).open().unwrap()
    };
    let ballast = disk.path().join("ballast");
    fs::write(&ballast, vec![1; 8 * MEGABYTE]).unwrap();
    let store = open();

    // Each failure makes the store open its tree anew, which may win a little space; so it fails several times.
    let mut next = 0;
    for attempt in 0..4 {
        let (failed, error) = fill(&store, next, u64::MAX).await;
        assert!(matches!(error, Some(Error::Unavailable(_))), "{error:?}");
        println!(
            "{durability:?}, attempt {attempt}: full after {failed} batches: {}",
            error.unwrap()
        );
        next = failed;
        expect_exactly(&store, next).await;
    }
    // If the tree cannot be opened again after a failed write, its outcome is not known. It is decided before the next
    // call that succeeds.
    let (marker, hidden) = (folder.join("tree/version"), folder.join("tree/hidden"));
    let mut attempts = 0;
    loop {
        fs::rename(&marker, &hidden).unwrap();
        match store.commit(&[batch(next)]).await {
            Err(Error::Unknown(_)) => break,
            // The tree's own thread may have won some space since, or have failed, which shows before the write.
            Ok(_) => next += 1,
            Err(Error::Corrupt(_)) => {}
            Err(error) => panic!("{error:?}"),
        }
        attempts += 1;
        assert!(attempts < 50, "the write itself never fails");
        fs::rename(&hidden, &marker).unwrap();
        next = fill(&store, next, u64::MAX).await.0;
    }
    let error = store.get(&[key(0)]).await.unwrap_err();
    assert!(matches!(error, Error::Corrupt(_)), "{error:?}");
    fs::rename(&hidden, &marker).unwrap();
    expect_exactly(&store, next).await;
    // A new process can open the store and read it while the disk is full.
    drop(store);
    let store = open();
    expect_exactly(&store, next).await;
    // Small commits may still fit, up to the last byte.
    let mut small = 0;
    let small_batch = |number: u64| {
        let key = Bytes::from(format!("~small/{number}"));
        Batch {
            conditions: vec![],
            writes: vec![Write::Put(key, Bytes::from_static(b"s"))],
        }
    };
    while small < 200 && store.commit(&[small_batch(small)]).await.is_ok() {
        small += 1;
    }

    // With space again the same store goes on.
    fs::remove_file(&ballast).unwrap();
    let (next, error) = fill(&store, next, next + 500).await;
    assert!(error.is_none(), "{error:?}");
    expect_exactly(&store, next).await;
    drop(store);
    let store = open();
    expect_exactly(&store, next).await;
    let found = store
        .scan(Bytes::from_static(b"~")..Bytes::from_static(b"~~"), usize::MAX)
        .await
        .unwrap();
    assert_eq!(found.len() as u64, small);
}

#[tokio::test]
async fn full_disk_hits_the_journal() {
    check_full_disk(Durability::Synced, 256 << 20).await;
}

#[tokio::test]
async fn full_disk_hits_the_tree() {
    // Small write buffers: the tree's own files take part of the space.
    check_full_disk(Durability::Synced, 2 << 20).await;
}

#[tokio::test]
async fn full_disk_in_relaxed_mode() {
    check_full_disk(Durability::Relaxed, 3 << 20).await;
}

#[tokio::test]
async fn full_disk_hits_the_shortening_of_the_journal() {
    let Some(disk) = Disk::mount(16) else { return };
    let folder = disk.path().join("store");
    let ballast = disk.path().join("ballast");
    // The second process appends to the journal that it finds.
    drop(EmbeddedStore::open(&folder).unwrap());
    let store = EmbeddedStore::open(&folder).unwrap();
    let overwrite = |number: u8| Batch {
        conditions: vec![],
        writes: vec![Write::Put(key(0), Bytes::from(vec![number; 1000]))],
    };
    for number in 0..=200 {
        store.commit(&[overwrite(number)]).await.unwrap();
    }
    let mut file = fs::File::create(&ballast).unwrap();
    let block = [1; 4096];
    while std::io::Write::write_all(&mut file, &block).is_ok() {}
    let journal = || fs::metadata(folder.join("tree/0.jnl")).unwrap().len();
    let before = journal();
    // The store becomes idle, and finds no space for a new journal.
    let start = std::time::Instant::now();
    while start.elapsed() < std::time::Duration::from_millis(400) {
        std::thread::sleep(std::time::Duration::from_millis(10));
        let found = store.get(&[key(0)]).await.unwrap();
        assert_eq!(found, [Some(Bytes::from(vec![200; 1000]))]);
    }
    assert_eq!(journal(), before, "the old journal stays");
    fs::remove_file(&ballast).unwrap();
    drop(file);
    // It goes on, and with space the next attempt succeeds. What had failed while there was none may show once more.
    let start = std::time::Instant::now();
    while let Err(error) = store.commit(&[overwrite(0)]).await {
        assert!(start.elapsed() < std::time::Duration::from_secs(60), "{error}");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    for number in 1..=250 {
        store.commit(&[overwrite(number)]).await.unwrap();
    }
    let start = std::time::Instant::now();
    while journal() > before {
        assert!(start.elapsed() < std::time::Duration::from_secs(60));
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    drop(store);
    let store = EmbeddedStore::open(&folder).unwrap();
    let found = store.get(&[key(0)]).await.unwrap();
    assert_eq!(found, [Some(Bytes::from(vec![250; 1000]))]);
}
