//! Runs the mirror as a user would: killed, gone on with, repeated, stopped.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// A folder to mirror, the place of its copy, and the store.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new(sizes: &[usize]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (number, size) in sizes.iter().enumerate() {
            let path = folder
                .path()
                .join(format!("from/part-{}/file-{number}", number % 2));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let bytes: Vec<u8> = (0..*size).map(|byte| (byte * 31 + number) as u8).collect();
            fs::write(path, bytes).unwrap();
        }
        Place { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mirror"));
        command.arg("--store").arg(self.path("store")).args(arguments);
        command
    }

    fn copy(&self, arguments: &[&str]) -> Command {
        let mut command = self.command(arguments);
        command.arg(self.path("from")).arg(self.path("to"));
        command
    }
}

/// All files below a folder, with their bytes.
fn content(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let (mut files, mut folders) = (BTreeMap::new(), vec![folder.to_owned()]);
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                // A file that is renamed just now is there under one of its names.
                let bytes = fs::read(&path).unwrap_or_default();
                files.insert(path.strip_prefix(folder).unwrap().to_owned(), bytes);
            }
        }
    }
    files
}

#[track_caller]
fn text(output: &Output, code: i32) -> String {
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{out}{error}");
    out + &error
}

#[track_caller]
fn wait_for(mut child: Child, what: impl Fn() -> bool) -> Child {
    let start = Instant::now();
    while !what() {
        assert!(start.elapsed() < Duration::from_secs(60));
        assert!(child.try_wait().unwrap().is_none(), "it ended too early");
        std::thread::sleep(Duration::from_millis(5));
    }
    child
}

#[test]
fn killed_it_goes_on() {
    let place = Place::new(&[300_000, 0, 5, 700_000]);
    for kill in 1..=4 {
        let child = place
            .copy(&["--pause", "20ms"])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let to = place.path("to");
        let mut child = wait_for(child, || {
            content(&to).values().map(Vec::len).sum::<usize>() > kill * 150_000
        });
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let output = place.copy(&["--pause", "20ms"]).output().unwrap();
    assert_eq!(text(&output, 0), "going on\nround 1: 4 files, 1000005 bytes\n");
    assert_eq!(content(&place.path("from")), content(&place.path("to")));
}

#[test]
fn rounds_follow_each_other() {
    let place = Place::new(&[10, 20]);
    let output = place.copy(&["--every", "50ms", "--times", "3"]).output().unwrap();
    let round = |number| format!("round {number}: 2 files, 30 bytes\n");
    assert_eq!(text(&output, 0), [1, 2, 3].map(round).concat());
    assert_eq!(content(&place.path("from")), content(&place.path("to")));
}

#[test]
fn stopped_it_cleans_up() {
    let place = Place::new(&[10, 5_000_000, 6_000_000]);
    let child = place
        .copy(&["--pause", "1s"])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let to = place.path("to");
    // The small file is done, the large ones are under way.
    let mut child = wait_for(child, || {
        let content = content(&to);
        content.len() == 3 && content.contains_key(Path::new("part-0/file-0"))
    });
    child.kill().unwrap();
    child.wait().unwrap();
    let output = place.command(&["--stop", "the disk is full"]).output().unwrap();
    assert_eq!(text(&output, 0), "stopping 1\nstopped\n");
    assert_eq!(
        content(&to).into_keys().collect::<Vec<_>>(),
        [Path::new("part-0/file-0")]
    );
}

#[test]
fn mistakes_are_told() {
    let place = Place::new(&[]);
    for (arguments, part) in [
        (&["one"][..], "give FROM and TO"),
        (&["--every", "soon"], "soon"),
        (&["no/such/folder", "to"], "no/such/folder"),
    ] {
        let error = text(&place.command(arguments).output().unwrap(), 1);
        assert!(error.contains("error: ") && error.contains(part), "{error}");
        assert!(!error.contains("panicked"), "{error}");
    }
}
