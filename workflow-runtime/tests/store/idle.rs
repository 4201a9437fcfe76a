//! What the store does while nobody uses it: it shortens its journal. Killed in the middle, it loses nothing.

use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use workflow_runtime::store::{Batch, Durability, EmbeddedStore, Store, Write};

const FOLDER: &str = "WORKFLOW_TEST_IDLE_FOLDER";
const TASK: &str = "WORKFLOW_TEST_IDLE_TASK";
const RECORDS: u64 = 20;
const BURST: u64 = 400;
const LIMIT: Duration = Duration::from_secs(60);

fn key(number: u64) -> Bytes {
    Bytes::from(format!("record {}", number % RECORDS))
}

fn batch(number: u64) -> Batch {
    let mut value = vec![b'v'; 200];
    value[..8].copy_from_slice(&number.to_be_bytes());
    Batch {
        conditions: vec![],
        writes: vec![Write::Put(key(number), Bytes::from(value))],
    }
}

fn open(folder: &Path) -> EmbeddedStore {
    let builder = EmbeddedStore::builder(folder).durability(Durability::Relaxed);
    builder.open().unwrap()
}

async fn commit(store: &EmbeddedStore, numbers: std::ops::Range<u64>) {
    for number in numbers {
        store.commit(&[batch(number)]).await.unwrap();
    }
}

/// The number of the last batch, of which each record has the last number that it must have.
async fn last_number(store: &EmbeddedStore) -> Option<u64> {
    let pairs = store
        .scan(Bytes::new()..Bytes::from_static(b"~"), usize::MAX)
        .await
        .unwrap();
    let number = |value: &Bytes| u64::from_be_bytes(*value.first_chunk().unwrap());
    let last = pairs.iter().map(|(_, value)| number(value)).max()?;
    let first = (last + 1).saturating_sub(RECORDS);
    let expected: std::collections::BTreeMap<_, _> =
        (first..=last).map(|number| (key(number), number)).collect();
    let found = pairs.iter().map(|(key, value)| (key.clone(), number(value)));
    assert_eq!(
        found.collect::<Vec<_>>(),
        expected.into_iter().collect::<Vec<_>>()
    );
    Some(last)
}

fn journal_bytes(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder.join("tree")).unwrap();
    let names = entries.map(|entry| entry.unwrap().path());
    let journals = names.filter(|path| path.extension().is_some_and(|extension| extension == "jnl"));
    journals.map(|path| std::fs::metadata(path).unwrap().len()).sum()
}

fn wait_until_short(folder: &Path) {
    let start = Instant::now();
    while journal_bytes(folder) > 30_000 {
        assert!(start.elapsed() < LIMIT, "the journal stays long");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn run_child(folder: &Path, task: &str) -> (Child, std::io::Lines<BufReader<ChildStdout>>) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "idle::child", "--nocapture"]);
    command.env(FOLDER, folder).env(TASK, task);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    (child, lines)
}

/// The child's part; does nothing when run as a test.
#[tokio::test]
async fn child() {
    let (Some(folder), Ok(task)) = (std::env::var_os(FOLDER), std::env::var(TASK)) else {
        return;
    };
    let folder = Path::new(&folder);
    if task == "drop" {
        drop_while_shortening(folder).await;
        return;
    }
    let store = open(folder);
    let mut next = last_number(&store).await.map_or(0, |last| last + 1);
    let mut output = std::io::stdout().lock();
    loop {
        commit(&store, next..next + BURST).await;
        next += BURST;
        writeln!(output, "acknowledged {next}").unwrap();
        output.flush().unwrap();
        std::thread::sleep(Duration::from_millis(130));
        // This one arrives during the work, or shortly after it.
        commit(&store, next..next + 1).await;
        next += 1;
        writeln!(output, "acknowledged {next}").unwrap();
        output.flush().unwrap();
    }
}

#[tokio::test]
async fn killed_while_shortening_loses_nothing() {
    let seed = std::env::var("WORKFLOW_TEST_SEED").map_or_else(
        |_| {
            let now = std::time::SystemTime::now();
            u64::from(now.duration_since(std::time::UNIX_EPOCH).unwrap().subsec_nanos())
        },
        |seed| seed.parse().unwrap(),
    );
    println!("WORKFLOW_TEST_SEED={seed}");
    let mut state = seed;
    let folder = tempfile::tempdir().unwrap();
    // The first process makes the journal; those after it append to it.
    drop(open(folder.path()));
    for round in 0..25 {
        let (mut child, mut lines) = run_child(folder.path(), "burst");
        let acknowledged = |line: String| {
            let (_, number) = line.split_once("acknowledged ")?;
            number.parse::<u64>().ok()
        };
        let mut count = lines
            .by_ref()
            .find_map(|line| acknowledged(line.unwrap()))
            .expect("the child runs until it is killed");
        // The work begins 100 ms to 200 ms after the last commit, and takes some milliseconds.
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let delay = Duration::from_micros(95_000 + (state >> 33) % 130_000);
        std::thread::sleep(delay);
        child.kill().unwrap();
        for line in lines {
            count = count.max(acknowledged(line.unwrap()).unwrap_or(0));
        }
        child.wait().unwrap();
        let tree = std::fs::read_dir(folder.path().join("tree")).unwrap();
        let mut names: Vec<_> = tree.map(|entry| entry.unwrap().file_name()).collect();
        names.retain(|name| name.to_string_lossy().contains("jnl"));
        println!(
            "round {round}: killed after {delay:?}: {names:?}, {} bytes",
            journal_bytes(folder.path())
        );
        let last = last_number(&open(folder.path())).await.unwrap();
        assert!(last + 1 >= count, "{count} were acknowledged, the last is {last}");
    }
}

#[tokio::test]
async fn idle_store_shortens_its_journal() {
    let folder = tempfile::tempdir().unwrap();
    let mut next = 0;
    for is_found in [false, true] {
        let store = open(folder.path());
        for _ in 0..3 {
            commit(&store, next..next + BURST).await;
            next += BURST;
            if is_found {
                assert!(journal_bytes(folder.path()) > 30_000);
            }
            wait_until_short(folder.path());
            assert_eq!(last_number(&store).await, Some(next - 1));
        }
        // A copy of the files as they are now, which is what `kill -9` leaves.
        drop(store);
    }
    assert_eq!(last_number(&open(folder.path())).await, Some(next - 1));
}

async fn drop_while_shortening(folder: &Path) {
    let mut next = 0;
    for round in 0..30 {
        let store = open(folder);
        commit(&store, next..next + BURST).await;
        next += BURST;
        std::thread::sleep(Duration::from_micros(98_000 + 400 * round));
        let start = Instant::now();
        drop(store);
        println!("dropped in {:?}", start.elapsed());
        let threads = std::fs::read_dir("/proc/self/task").unwrap();
        let names = threads.map(|thread| std::fs::read_to_string(thread.unwrap().path().join("comm")));
        // A thread may be gone since the folder was read.
        let left = names.filter(|name| name.as_ref().is_ok_and(|name| name.starts_with("workflow-store")));
        assert_eq!(left.count(), 0, "a thread is left");
        assert_eq!(last_number(&open(folder)).await, Some(next - 1));
    }
    println!("all dropped");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn store_is_dropped_while_shortening() {
    let folder = tempfile::tempdir().unwrap();
    // In a process of its own, where no other test has threads.
    let (mut child, lines) = run_child(folder.path(), "drop");
    let lines: Vec<String> = lines.map(Result::unwrap).collect();
    assert!(child.wait().unwrap().success());
    assert!(lines.iter().any(|line| line == "all dropped"), "{lines:?}");
}
