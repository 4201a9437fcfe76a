//! A real process that commits in a loop and is killed; and journals whose end is torn.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use bytes::Bytes;
use workflow_runtime::store::{Batch, Durability, EmbeddedStore, Error, Store, Write};

const FOLDER: &str = "WORKFLOW_TEST_STORE_FOLDER";
const RELAXED: &str = "WORKFLOW_TEST_STORE_RELAXED";
const JOURNAL: &str = "tree/0.jnl";
const KEYS_PER_BATCH: u64 = 3;

fn key(number: u64, part: u64) -> Bytes {
    Bytes::from(format!("{number:010}/{part}"))
}

fn batch(number: u64) -> Batch {
    let value = |part: u64| Bytes::from(vec![b'x'; usize::try_from(number * 31 % 3000 + part).unwrap()]);
    let writes = (0..KEYS_PER_BATCH).map(|part| Write::Put(key(number, part), value(part)));
    Batch {
        conditions: vec![],
        writes: writes.collect(),
    }
}

fn open(folder: &Path, durability: Durability) -> EmbeddedStore {
    EmbeddedStore::builder(folder)
        .durability(durability)
        .open()
        .unwrap()
}

/// Batches `0..count` are whole; what follows is whole or missing.
async fn expect_batches(store: &EmbeddedStore, count: u64) -> u64 {
    let pairs = store
        .scan(Bytes::new()..Bytes::from_static(b"~"), usize::MAX)
        .await
        .unwrap();
    let found = pairs.len() as u64;
    assert_eq!(found % KEYS_PER_BATCH, 0, "a batch is not whole");
    assert!(
        found >= count * KEYS_PER_BATCH,
        "{found} keys, but {count} batches were acknowledged"
    );
    for (index, (found, value)) in pairs.iter().enumerate() {
        let (number, part) = (index as u64 / KEYS_PER_BATCH, index % KEYS_PER_BATCH as usize);
        let expected = &batch(number).writes[part];
        assert_eq!(*expected, Write::Put(found.clone(), value.clone()));
    }
    found / KEYS_PER_BATCH
}

/// The child's part of `killed_process_loses_nothing`; does nothing when run as a test.
#[tokio::test]
async fn child_commits_until_it_is_killed() {
    let Some(folder) = std::env::var_os(FOLDER) else {
        return;
    };
    let durability = if std::env::var_os(RELAXED).is_some() {
        Durability::Relaxed
    } else {
        Durability::Synced
    };
    let store = open(Path::new(&folder), durability);
    let first = expect_batches(&store, 0).await;
    let mut output = std::io::stdout().lock();
    for number in first.. {
        store.commit(&[batch(number)]).await.unwrap();
        writeln!(output, "acknowledged {number}").unwrap();
        output.flush().unwrap();
    }
}

#[tokio::test]
async fn killed_process_loses_nothing() {
    for durability in [Durability::Synced, Durability::Relaxed] {
        let folder = tempfile::tempdir().unwrap();
        let mut acknowledged = 0;
        for round in 1..=4 {
            let mut command = Command::new(std::env::current_exe().unwrap());
            command.args([
                "--exact",
                "crash::child_commits_until_it_is_killed",
                "--nocapture",
            ]);
            command
                .env(FOLDER, folder.path())
                .stdout(Stdio::piped())
                .stderr(Stdio::null());
            if durability == Durability::Relaxed {
                command.env(RELAXED, "1");
            }
            let mut child = command.spawn().unwrap();
            let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
            let mut left = round
                * if durability == Durability::Relaxed {
                    2_000
                } else {
                    200
                };
            while left > 0 {
                let line = lines.next().expect("the child runs until it is killed").unwrap();
                // The test harness's own words may come before the first number on its line.
                if let Some((_, number)) = line.split_once("acknowledged ") {
                    acknowledged = acknowledged.max(number.parse::<u64>().unwrap() + 1);
                    left -= 1;
                }
            }
            // SIGKILL.
            child.kill().unwrap();
            for line in lines {
                if let Some((_, number)) = line.unwrap().split_once("acknowledged ") {
                    acknowledged = acknowledged.max(number.parse::<u64>().unwrap() + 1);
                }
            }
            child.wait().unwrap();
            let store = open(folder.path(), durability);
            let found = expect_batches(&store, acknowledged).await;
            assert!(found <= acknowledged + 1, "at most one group was on its way");
        }
    }
}

#[tokio::test]
async fn folder_in_use_names_its_holder() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([
        "--exact",
        "crash::child_commits_until_it_is_killed",
        "--nocapture",
    ]);
    let mut child = command
        .env(FOLDER, folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    while !lines.next().unwrap().unwrap().contains("acknowledged") {}

    let error = EmbeddedStore::open(folder.path()).unwrap_err();
    let program = std::env::current_exe().unwrap();
    let expected = format!(
        "the store at `{}` is in use by process {} ({}); stop that process, or give this one another folder",
        folder.path().display(),
        child.id(),
        program.file_name().unwrap().display(),
    );
    assert_eq!(error.to_string(), expected);

    child.kill().unwrap();
    child.wait().unwrap();
    open(folder.path(), Durability::Synced);
}

/// The files of a store with `count` batches as a crash leaves them.
struct CrashedStore {
    folder: tempfile::TempDir,
    /// The journal up to the end of its last entry; in the file zeros follow.
    journal: Vec<u8>,
}

impl CrashedStore {
    async fn new(count: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path(), Durability::Synced);
        for number in 0..count {
            store.commit(&[batch(number)]).await.unwrap();
        }
        Self::of(folder)
    }

    /// The open store's files as they are now.
    fn of(folder: tempfile::TempDir) -> Self {
        // The journal is read while the store is open: nothing is tidied up.
        let mut journal = std::fs::read(folder.path().join(JOURNAL)).unwrap();
        let end = journal.iter().rposition(|byte| *byte != 0).unwrap() + 1;
        journal.truncate(end);
        Self { folder, journal }
    }

    /// A copy of the files, with this journal.
    fn copy(&self, journal: &[u8]) -> tempfile::TempDir {
        let copy = tempfile::tempdir().unwrap();
        copy_folder(self.folder.path(), copy.path());
        std::fs::write(copy.path().join(JOURNAL), journal).unwrap();
        copy
    }
}

/// Copies everything but journals, which are long.
fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let to = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_folder(&path, &to);
        } else if path.extension().is_none_or(|extension| extension != "jnl") {
            std::fs::copy(&path, to).unwrap();
        }
    }
}

/// The length of a batch's entry in the journal.
fn entry_length(number: u64) -> usize {
    let write_length = |write: &Write| match write {
        Write::Put(key, value) => 21 + key.len() + value.len(),
        Write::Delete(_) => 0,
    };
    26 + batch(number).writes.iter().map(write_length).sum::<usize>()
}

#[tokio::test]
async fn torn_end_is_cut_off() {
    const COUNT: u64 = 20;
    let crashed = CrashedStore::new(COUNT).await;
    let (journal, last) = (&crashed.journal, entry_length(COUNT - 1));
    let zeros = [0; 5000];
    // The file ends early: within the last entry, at any place.
    for lost in (1..last).step_by(97).chain([2, 4, 5, 12, 13, 14, last - 1, last]) {
        check_torn(&crashed, &journal[..journal.len() - lost], COUNT - 1).await;
    }
    // The file has its length, but parts of the last entry did not reach the disk, or other bytes did.
    for start in (0..last).step_by(157) {
        for content in [0x00, 0x01, 0x03, 0xff] {
            let mut torn = [&journal[..], &zeros].concat();
            let offset = journal.len() - last + start;
            let end = journal.len().min(offset + 40);
            torn[offset..end]
                .iter_mut()
                .for_each(|byte| *byte = if *byte == content { 0x55 } else { content });
            check_torn(&crashed, &torn, COUNT - 1).await;
        }
    }
    // Nothing is torn.
    check_torn(&crashed, journal, COUNT).await;
    check_torn(&crashed, &[&journal[..], &zeros].concat(), COUNT).await;
    // Garbage of any kind follows the last entry.
    for garbage in [
        &b"garbage"[..],
        &[1],
        &[1; 100],
        &[2; 100],
        &journal[..10],
        &[0, 0, 0, 9],
    ] {
        check_torn(&crashed, &[journal, garbage, &zeros].concat(), COUNT).await;
    }
}

/// With this journal the store must have exactly `count` batches, and go on.
async fn check_torn(crashed: &CrashedStore, journal: &[u8], count: u64) {
    let folder = crashed.copy(journal);
    for count in count..count + 2 {
        let store = open(folder.path(), Durability::Synced);
        assert_eq!(expect_batches(&store, count).await, count);
        store.commit(&[batch(count)]).await.unwrap();
    }
}

#[tokio::test]
async fn damage_before_the_end_is_refused() {
    const COUNT: u64 = 20;
    let crashed = CrashedStore::new(COUNT).await;
    let mut journal = crashed.journal.clone();
    let offset = journal.len() - (COUNT - 3..COUNT).map(entry_length).sum::<usize>();
    journal[offset + 60] ^= 1;
    let folder = crashed.copy(&journal);

    let error = EmbeddedStore::open(folder.path()).unwrap_err();
    let expected = format!("is damaged at byte {offset}, before entries that are whole");
    assert!(
        matches!(&error, Error::Corrupt(text) if text.contains(&expected)),
        "{error}"
    );
    assert!(
        std::fs::read(folder.path().join(JOURNAL)).unwrap() == journal,
        "the journal was changed"
    );

    let store = open(folder.path(), Durability::Relaxed);
    assert_eq!(
        expect_batches(&store, 0).await,
        COUNT - 3,
        "the batches before the damage"
    );
}

#[tokio::test]
async fn journal_of_overwritten_records_is_shrunk() {
    let folder = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::builder(folder.path())
        .durability(Durability::Relaxed)
        .open()
        .unwrap();
    let mut model = BTreeMap::new();
    let mut write = |number: u64| {
        let key = Bytes::from(format!("record {}", number * number % 97));
        if number.is_multiple_of(5) {
            model.remove(&key);
            return Write::Delete(key);
        }
        let value = Bytes::from(vec![b'v'; usize::try_from(number % 1500).unwrap()]);
        model.insert(key.clone(), value.clone());
        Write::Put(key, value)
    };
    for number in 0..8_000 {
        let writes = vec![write(2 * number), write(2 * number + 1)];
        store
            .commit(&[Batch {
                conditions: vec![],
                writes,
            }])
            .await
            .unwrap();
    }
    let crashed = CrashedStore::of(folder);
    drop(store);
    assert!(crashed.journal.len() > 5 << 20);
    let folder = crashed.copy(&crashed.journal);
    for round in 0..3 {
        let store = open(folder.path(), Durability::Synced);
        assert!(std::fs::metadata(folder.path().join(JOURNAL)).unwrap().len() < 500_000);
        let pairs = store
            .scan(Bytes::new()..Bytes::from_static(b"~"), usize::MAX)
            .await
            .unwrap();
        assert_eq!(pairs, model.clone().into_iter().collect::<Vec<_>>());
        let (key, value) = (Bytes::from(format!("after {round}")), Bytes::from_static(b"x"));
        let writes = vec![Write::Put(key.clone(), value.clone())];
        store
            .commit(&[Batch {
                conditions: vec![],
                writes,
            }])
            .await
            .unwrap();
        model.insert(key, value);
    }
}
