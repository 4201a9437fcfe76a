//! A real process on the embedded store, killed with SIGKILL again and again until its workflow has ended.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use workflow_runtime::prelude::*;

use super::property::random::Random;

const FOLDER: &str = "WORKFLOW_KILL_FOLDER";
const SEED: &str = "WORKFLOW_KILL_SEED";
const TEST: &str = "kill::a_process_is_killed_until_its_workflow_ends";
const KILLS: usize = 10;

/// Where the effects go: the outside world.
#[derive(Clone)]
struct Outside(PathBuf);

#[task]
async fn step(State(outside): State<Outside>, number: u64, before: u64) -> u64 {
    let mut file = fs::OpenOptions::new()
        .append(true)
        .create(true)
        .open(&outside.0)
        .expect("the effects file");
    writeln!(file, "{number}").expect("an effect");
    tokio::time::sleep(Duration::from_millis(number % 3)).await;
    mix(number, before)
}

fn mix(number: u64, before: u64) -> u64 {
    before.rotate_left(5) ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
struct Report {
    hash: u64,
    rows: Vec<String>,
}

#[workflow]
async fn many_steps(rows: u64, columns: u64) -> Report {
    let mut report = Report {
        hash: 0,
        rows: Vec::new(),
    };
    let mut number = 0;
    for row in 0..rows {
        let mut cells = Vec::new();
        while (cells.len() as u64) < columns {
            let before = report.hash;
            report.hash = step(number, before).await;
            cells.push(report.hash % 10);
            number += 1;
        }
        if row % 4 == 3 {
            sleep("5ms").await;
        }
        report.rows.push(format!("{row}: {cells:?}"));
    }
    report
}

/// What the workflow gives if nothing happens to it.
fn expected(rows: u64, columns: u64) -> Report {
    let mut report = Report {
        hash: 0,
        rows: Vec::new(),
    };
    for row in 0..rows {
        let cells: Vec<u64> = (0..columns)
            .map(|column| {
                report.hash = mix(row * columns + column, report.hash);
                report.hash % 10
            })
            .collect();
        report.rows.push(format!("{row}: {cells:?}"));
    }
    report
}

const ROWS: u64 = 20;
const COLUMNS: u64 = 12;

/// The life of one process: opens the store, starts or finds the instance, waits for its end.
fn live(folder: &Path) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let outside = Outside(folder.join("effects"));
        let builder = WorkflowEngine::<many_steps>::builder()
            .embedded(folder.join("store"))
            .state(outside);
        let engine = builder.build().await.expect("an engine");
        let start = engine
            .start(many_steps(ROWS, COLUMNS))
            .id("one")
            .on_existing(ExistingId::ReturnExisting);
        let report = start.await.expect("a start").result().await.expect("a result");
        fs::write(folder.join("result.new"), format!("{report:?}")).expect("a result file");
        fs::rename(folder.join("result.new"), folder.join("result")).expect("a result file");
        engine.shutdown().await;
    });
}

fn effects(folder: &Path) -> Vec<u64> {
    let text = fs::read_to_string(folder.join("effects")).unwrap_or_default();
    // A line that is not complete was not written: the process died within the call.
    let complete = text.rfind('\n').map_or("", |end| &text[..end]);
    complete
        .lines()
        .map(|line| line.parse().expect("a number"))
        .collect()
}

fn spawn(folder: &Path) -> Child {
    Command::new(std::env::current_exe().expect("the path of the test"))
        .args([TEST, "--exact", "--nocapture"])
        .env(FOLDER, folder)
        .stdout(Stdio::null())
        .spawn()
        .expect("a child")
}

#[test]
fn a_process_is_killed_until_its_workflow_ends() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        return live(Path::new(&folder));
    }
    let seed = match std::env::var(SEED) {
        Ok(seed) => seed.parse().expect("a seed is a number"),
        Err(_) => SystemTime::UNIX_EPOCH.elapsed().map_or(1, |time| time.as_secs()),
    };
    println!("{SEED}={seed}");
    let mut random = Random::new(seed);
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    // How many effects there were at each death.
    let mut deaths = Vec::new();
    let limit = Instant::now() + Duration::from_secs(120);
    loop {
        let mut child = spawn(folder);
        let before = effects(folder).len();
        // Some die early, while the store is opened; the others after some progress, at any moment of a step.
        let early = random
            .percent(20)
            .then(|| Instant::now() + Duration::from_millis(random.below(40) as u64));
        let progress = 3 + random.below(18);
        let moment = Duration::from_micros(random.below(4000) as u64);
        let ended = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break Some(status);
            }
            let reached = effects(folder).len() >= before + progress;
            if early.is_some_and(|early| Instant::now() >= early) || (reached && early.is_none()) {
                std::thread::sleep(moment);
                break None;
            }
            assert!(
                Instant::now() < limit,
                "seed {seed}: no progress, {} deaths so far",
                deaths.len()
            );
            std::thread::sleep(Duration::from_millis(1));
        };
        match ended {
            Some(status) => {
                assert!(status.success(), "seed {seed}: the process ended with {status}");
                break;
            }
            None => {
                // SIGKILL; the process may have ended by itself meanwhile.
                child.kill().unwrap();
                child.wait().unwrap();
                deaths.push(effects(folder).len());
            }
        }
    }
    assert!(deaths.len() >= KILLS, "seed {seed}: only {} kills", deaths.len());
    let result = fs::read_to_string(folder.join("result")).unwrap();
    assert_eq!(result, format!("{:?}", expected(ROWS, COLUMNS)), "seed {seed}");

    let effects = effects(folder);
    let mut next = 0;
    for (index, number) in effects.iter().copied().enumerate() {
        let is_repeat = number + 1 == next;
        assert!(
            number == next || (is_repeat && deaths.contains(&index)),
            "seed {seed}: effect {index} is {number}, expected {next}; deaths at {deaths:?}"
        );
        next = number + 1;
    }
    assert_eq!(next, ROWS * COLUMNS, "seed {seed}: all effects happened");
}
