//! Runs the link checker as a user would.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

fn check(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_link-check"))
        .arg(folder)
        .args(arguments)
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn broken_links_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("pages");
    fs::create_dir_all(pages.join("deep")).unwrap();
    for n in 0..40 {
        let next = (n + 1) % 40;
        let text = format!("# Page {n}\n[next](page-{next}.md) and [deep](deep/page.md#top)\n");
        fs::write(pages.join(format!("page-{n}.md")), text).unwrap();
    }
    let deep =
        "[up](../page-0.md)\n[gone](../page-40.md), [web](https://example.com)\n```\n[code](no.md)\n```\n";
    fs::write(pages.join("deep/page.md"), deep).unwrap();
    let store = folder.path().join("store");
    let store = ["--store", store.to_str().unwrap(), "--at-once", "4"];
    // The second run finds the result in the store.
    for _ in 0..2 {
        let output = check(&pages, &store);
        let (out, error) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(1), "{out}{error}");
        let expected = format!(
            "{}:2: ../page-40.md is not there\n1 of 82 links in 41 files are broken\n",
            pages.join("deep/page.md").display()
        );
        assert_eq!(out, expected);
    }
}

#[test]
fn a_folder_that_is_not_there_is_an_error() {
    let output = check(Path::new("no/such/folder"), &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("no/such/folder"));
}
