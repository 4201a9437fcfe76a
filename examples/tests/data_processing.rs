//! The example as a person uses it: as a process that is killed, and with input that is wrong.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tempfile::TempDir;

const HEADER: &str = "date,wind,kind\n";

/// A folder with an input, and the program's arguments for it.
struct Case {
    folder: TempDir,
}

impl Case {
    fn new(input: &str) -> Self {
        let case = Case {
            folder: tempfile::tempdir().unwrap(),
        };
        fs::write(case.input(), input).unwrap();
        case
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn input(&self) -> PathBuf {
        self.path("input.csv")
    }

    fn report(&self) -> PathBuf {
        self.path("report.csv")
    }

    fn command(&self, more: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_data-processing"));
        command
            .current_dir(self.folder.path())
            .args(["--input", "input.csv", "--output", "report.csv"]);
        command.args(["--data", "data"]).args(more).stdin(Stdio::null());
        command
    }

    fn run(&self, more: &[&str]) -> Run {
        Run::of(self.command(more).output().unwrap())
    }
}

/// What a finished process said.
struct Run {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Run {
    fn of(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Run {
            code: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }

    #[track_caller]
    fn succeeds(self) -> Self {
        assert_eq!(self.code, Some(0), "{}", self.stderr);
        self
    }

    /// Ends with exit code 1 and one error that says all of `parts`.
    #[track_caller]
    fn fails(self, parts: &[&str]) -> Self {
        assert_eq!(self.code, Some(1), "{}", self.stderr);
        for part in parts {
            assert!(self.stderr.contains(part), "{part:?} is not in:\n{}", self.stderr);
        }
        assert_eq!(self.stderr.matches("error: ").count(), 1, "{}", self.stderr);
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
        self
    }
}

fn rows(count: usize) -> String {
    let row = |n: usize| {
        format!(
            "2026-01-{},{}.{},{}\n",
            n % 28 + 1,
            n % 13,
            n % 7,
            ["calm", "gusty", "stormy"][n % 3]
        )
    };
    HEADER.to_owned() + &(0..count).map(row).collect::<String>()
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }
}

fn seed() -> u64 {
    match std::env::var("WORKFLOW_TEST_SEED") {
        Ok(seed) => seed.parse().expect("WORKFLOW_TEST_SEED is a number"),
        Err(_) => SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64,
    }
}

/// Kills a run after so many lines of progress and a moment more; gives what it said, and whether it was still running.
fn kill_after(mut child: Child, lines: u64, moment: Duration) -> (Vec<String>, bool) {
    let mut said = Vec::new();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut progress = 0;
    while progress < lines {
        let mut line = String::new();
        if stderr.read_line(&mut line).unwrap() == 0 {
            break;
        }
        progress += u64::from(line.ends_with(" chunks\n"));
        said.push(line);
    }
    let until = Instant::now() + moment;
    while Instant::now() < until {
        std::hint::spin_loop();
    }
    child.kill().unwrap();
    let killed = child.wait().unwrap().code().is_none();
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).unwrap();
    said.extend(rest.lines().map(str::to_owned));
    (said, killed)
}

#[test]
fn killed_at_ten_random_moments_it_writes_the_same_report() {
    let seed = seed();
    println!("seed {seed}: WORKFLOW_TEST_SEED={seed} repeats the choices");
    let mut random = Random(seed);
    let input = include_str!("../data/seattle-weather.csv");
    let calm = Case::new(input);
    calm.run(&["--chunk", "20"]).succeeds();
    let expected = fs::read(calm.report()).unwrap();

    let case = Case::new(input);
    let arguments = ["--chunk", "20", "--delay", "3"];
    let (mut kills, mut resumed, mut done) = (0, 0, 0);
    while kills < 10 {
        let child = case
            .command(&arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = random.next(5);
        let moment = Duration::from_micros(random.next(12_000));
        let (said, killed) = kill_after(child, lines, moment);
        assert!(
            killed,
            "seed {seed}: the run ended before its kill {kills}: {said:?}"
        );
        kills += 1;
        if let Some(line) = said.iter().find(|line| line.starts_with("resuming `")) {
            resumed += 1;
            if let Some((_, chunks)) = line.rsplit_once("`, ") {
                let before: u64 = chunks.split(' ').next().unwrap().parse().unwrap();
                assert!(
                    before >= done,
                    "seed {seed}: {done} chunks were done, then {line}"
                );
                done = before;
            }
        }
    }
    let last = case.run(&arguments).succeeds();
    println!(
        "{resumed} of {kills} killed runs had resumed, the last one from {done} chunks\n{}",
        last.stderr
    );
    assert!(
        last.stderr.contains("resuming `input-"),
        "seed {seed}: {}",
        last.stderr
    );
    assert!(
        last.stderr.contains("74 of 74 chunks"),
        "seed {seed}: {}",
        last.stderr
    );
    assert_eq!(
        fs::read(case.report()).unwrap(),
        expected,
        "seed {seed}: the reports differ"
    );
    assert!(!case.path("report.csv.partial").exists());
}

#[test]
fn a_finished_run_begins_anew() {
    let case = Case::new(&rows(100));
    let first = case.run(&[]).succeeds();
    assert!(first.stderr.contains("starting `input-"), "{}", first.stderr);
    assert!(
        first
            .stdout
            .contains("100 rows in 3 chunks, written to report.csv"),
        "{}",
        first.stdout
    );
    let report = fs::read(case.report()).unwrap();
    fs::remove_file(case.report()).unwrap();
    let second = case.run(&[]).succeeds();
    assert!(
        second.stderr.contains("was completed before; it begins anew"),
        "{}",
        second.stderr
    );
    assert_eq!(fs::read(case.report()).unwrap(), report);
    // Other options are another run.
    let other = case.run(&["--chunk", "50"]).succeeds();
    assert!(other.stderr.contains("starting `input-"), "{}", other.stderr);
    assert_eq!(fs::read(case.report()).unwrap(), report);
}

#[test]
fn a_report_is_the_same_for_any_chunk_size_and_line_ending() {
    let input = "kind,wind\ncalm,1\n\"a\nb\",-2.5\ncalm,\ncalm,3\n,0\n";
    let expected = "kind,column,values,missing,mean,deviation,min,median,95 %,max\n\
        (none),wind,1,0,0.000,,0.000,0.000,0.000,0.000\n\
        \"a\nb\",wind,1,0,-2.500,,-2.500,-2.500,-2.500,-2.500\n\
        calm,wind,2,1,2.000,1.414,1.000,1.000,1.000,3.000\n";
    for input in [
        input.to_owned(),
        input.replace('\n', "\r\n").replace("a\r\nb", "a\nb"),
        format!("\u{FEFF}{input}\n\n"),
    ] {
        for chunk in ["1", "2", "3", "100"] {
            let case = Case::new(&input);
            case.run(&["--chunk", chunk]).succeeds();
            assert_eq!(
                fs::read_to_string(case.report()).unwrap(),
                expected,
                "{input:?} in chunks of {chunk}"
            );
        }
    }
}

#[test]
fn wrong_input_is_refused_with_its_place() {
    // Input, arguments, parts of the message.
    let cases: [(&str, &[&str], &[&str]); 12] = [
        (
            "",
            &[],
            &["input.csv", "is empty; its first line must name the columns"],
        ),
        (
            "date,kind\n1.1.,calm\n",
            &[],
            &["has no column of numbers to summarise"],
        ),
        (
            "wind\n1\n",
            &[],
            &["has no column of texts to group by; choose a column with `--group`"],
        ),
        (
            "wind,kind\n1,calm\n",
            &["--group", "sort"],
            &["has no column `sort` for `--group`; its columns are `wind`, `kind`"],
        ),
        (
            "wind,kind\n1,calm\n2,calm\nfast,calm\n4,calm\n",
            &["--chunk", "1"],
            &[
                "input.csv`, line 4: `wind` is \"fast\", which is not a number",
                "`--malformed skip`",
            ],
        ),
        (
            "wind,kind\r\n1,calm\r\n2,calm\r\ninf,calm\r\n",
            &["--chunk", "2"],
            &["line 4: `wind` is \"inf\", which is not a number"],
        ),
        (
            "wind,kind\n1,calm\n2\n",
            &[],
            &["line 3: the row has 1 fields, the header has 2"],
        ),
        (
            "wind,kind\n1,calm\n\n2,calm,so\n",
            &[],
            &["line 4: the row has 3 fields, the header has 2"],
        ),
        (
            "wind,kind\n1,calm\n2,\u{FFFD}x\n",
            &[],
            &["line 3: `kind` is \"\u{FFFD}x\", which is not UTF-8 text"],
        ),
        (
            "wind,kind\n1,calm\n2,\"calm\n3,calm\n",
            &[],
            &["line 3: a quote is opened and not closed"],
        ),
        ("wind,kind\n", &[], &["has no column of texts to group by"]),
        (
            "kind,wind\ncalm,1\n,2\n",
            &["--group", "wind"],
            &["has no column of numbers"],
        ),
    ];
    for (input, arguments, parts) in cases {
        let case = Case::new(input);
        println!("{input:?} {arguments:?}");
        case.run(arguments).fails(parts);
        // The same is said again: a failed run begins anew.
        let again = case.run(arguments).fails(parts);
        assert!(
            again.stderr.contains("failed last time; it begins anew"),
            "{}",
            again.stderr
        );
        assert!(!case.report().exists());
    }
}

#[test]
fn malformed_rows_are_left_out_and_counted() {
    let mut input = rows(40);
    (0..7).for_each(|_| input.push_str("2026-02-01,many,calm\n"));
    let case = Case::new(&input);
    case.run(&[])
        .fails(&["line 42: `wind` is \"many\", which is not a number"]);
    let run = case.run(&["--malformed", "skip"]).succeeds();
    assert!(
        run.stderr
            .contains("left out 7 malformed rows:\n  line 42: `wind` is"),
        "{}",
        run.stderr
    );
    assert!(run.stdout.contains("40 rows in 2 chunks"), "{}", run.stdout);
    // Corrected, the file is read from its beginning.
    fs::write(case.input(), rows(40)).unwrap();
    let run = case.run(&[]).succeeds();
    assert!(
        run.stderr.contains("failed last time; it begins anew"),
        "{}",
        run.stderr
    );
}

#[test]
fn files_and_folders_that_cannot_be_used_are_named() {
    let case = Case::new(&rows(10));
    fs::create_dir(case.path("folder")).unwrap();
    fs::write(case.path("folder/file"), "").unwrap();
    let cases: [(&[&str], &[&str]); 7] = [
        (
            &["--input", "none.csv"],
            &["cannot read `none.csv`: No such file"],
        ),
        (
            &["--input", "folder"],
            &["cannot read `folder`: it is not a file"],
        ),
        (
            &["--output", "folder"],
            &["cannot write `folder`: it is a folder"],
        ),
        (
            &["--output", "/dev/null"],
            &["cannot write `/dev/null`: it is not a file"],
        ),
        (
            &["--output", "none/report.csv"],
            &["cannot write `none/report.csv`: there is no folder `", "none`"],
        ),
        (
            &["--data", "input.csv"],
            &["`input.csv`", "choose an empty or a new folder"],
        ),
        (
            &["--data", "folder"],
            &["`folder`", "it holds `file`", "choose an empty or a new folder"],
        ),
    ];
    for (arguments, parts) in cases {
        case.run(arguments).fails(parts);
    }
    case.run(&[]).succeeds();
}

#[test]
fn a_wrong_command_line_is_refused() {
    let case = Case::new(&rows(10));
    for (arguments, part) in [
        (
            ["--chunk", "0"],
            "--chunk is a number from 1 to 100000, not \"0\"",
        ),
        (
            ["--delay", "soon"],
            "--delay is a number from 0 to 3600000, not \"soon\"",
        ),
        (
            ["--malformed", "maybe"],
            "--malformed is `stop` or `skip`, not \"maybe\"",
        ),
        (["--colour", "red"], "invalid option '--colour'"),
    ] {
        let run = case.run(&arguments);
        assert_eq!(run.code, Some(2), "{}", run.stderr);
        assert!(run.stderr.contains(part), "{}", run.stderr);
    }
    let help = case.run(&["--help"]).succeeds();
    for option in [
        "--input",
        "--output",
        "--data",
        "--group",
        "--chunk",
        "--malformed",
        "--delay",
    ] {
        assert!(help.stdout.contains(option));
    }
}

#[test]
fn a_report_that_cannot_be_written_is_written_by_the_next_run() {
    let case = Case::new(&rows(100));
    // A folder stands where the report is drafted.
    fs::create_dir(case.path("report.csv.partial")).unwrap();
    let failed = case.run(&[]).fails(&[
        "cannot write `",
        "report.csv`: ",
        "trying again",
        "run the same command again",
    ]);
    assert!(failed.stderr.contains("3 of 3 chunks"), "{}", failed.stderr);
    // It stays there: the next run says the same and does no chunk twice.
    let failed = case
        .run(&[])
        .fails(&["cannot write `", "point `store`, 3 of 3 chunks done"]);
    assert!(!failed.stderr.contains("\n3 of 3 chunks"), "{}", failed.stderr);
    fs::remove_dir(case.path("report.csv.partial")).unwrap();
    let run = case.run(&[]).succeeds();
    assert!(run.stderr.contains("resuming `input-"), "{}", run.stderr);
    assert!(run.stdout.contains("100 rows in 3 chunks"), "{}", run.stdout);
}

/// Starts a slow run and kills it after its first chunk.
fn begin(case: &Case) {
    let child = case
        .command(&["--delay", "20"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (said, killed) = kill_after(child, 1, Duration::ZERO);
    assert!(killed, "{said:?}");
}

#[test]
fn a_file_that_is_away_or_changed_is_noticed() {
    let case = Case::new(&rows(400));
    begin(&case);
    fs::rename(case.input(), case.path("away.csv")).unwrap();
    case.run(&[]).fails(&["cannot read `input.csv`: No such file"]);
    fs::rename(case.path("away.csv"), case.input()).unwrap();
    let run = case.run(&[]).succeeds();
    assert!(run.stderr.contains("resuming `input-"), "{}", run.stderr);

    begin(&case);
    fs::write(case.input(), rows(500)).unwrap();
    case.run(&[])
        .fails(&["input.csv` changed while the run was under way; run the command again to begin anew"]);
    let run = case.run(&[]).succeeds();
    assert!(run.stdout.contains("500 rows"), "{}", run.stdout);
}

#[test]
fn a_data_folder_in_use_is_refused_and_keeps_its_run() {
    let case = Case::new(&rows(400));
    let mut child = case
        .command(&["--delay", "400"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.ends_with(" chunks\n") {
        line.clear();
        assert_ne!(stderr.read_line(&mut line).unwrap(), 0, "the run ended early");
    }
    let holder = format!("process {} (data-processing)", child.id());
    case.run(&[]).fails(&["is in use by", &holder, "another folder"]);
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).unwrap();
    assert!(child.wait().unwrap().success(), "{rest}");
    assert!(is_whole(&case.report()));
}

#[test]
fn a_column_that_names_rows_is_no_group() {
    let many: String = (0..1200).map(|n| format!("row{n},{n}\n")).collect();
    let case = Case::new(&format!("name,number\n{many}"));
    case.run(&[]).fails(&[
        "has more than 1000 different values in the column `name`; choose another column with `--group`",
    ]);
}

#[test]
fn an_open_quote_does_not_fill_the_memory() {
    let case = Case::new(&format!("number,name\n1,\"open{}", "x,y\n".repeat(1 << 20)));
    case.run(&[]).fails(&[
        "has a record of more than 1048576 bytes 12 bytes from its beginning; is a quote left open?",
    ]);
}

fn is_whole(report: &Path) -> bool {
    fs::read_to_string(report).unwrap().ends_with('\n')
}
