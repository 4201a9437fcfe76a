//! What may be in a store's folder, and what the store says about anything else.

use std::fs;
use std::path::Path;

use workflow_runtime::store::{EmbeddedStore, Error};

/// Opening must fail with this message, in which `{path}` stands for the folder, and change nothing.
fn check_refused(path: &Path, expected: &str) {
    let before = list(path);
    let error = EmbeddedStore::open(path).unwrap_err();
    assert!(
        matches!(error, Error::Format { .. } | Error::Corrupt(_)),
        "{error:?}"
    );
    assert_eq!(
        error.to_string(),
        expected.replace("{path}", &path.display().to_string())
    );
    assert_eq!(list(path), before, "the folder was changed");
}

fn list(path: &Path) -> Vec<(String, Vec<u8>)> {
    let Ok(entries) = fs::read_dir(path) else {
        return Vec::new();
    };
    let entry = |entry: fs::DirEntry| {
        let name = entry.file_name().into_string().unwrap();
        (name, fs::read(entry.path()).unwrap_or_default())
    };
    let mut entries: Vec<_> = entries.map(|found| entry(found.unwrap())).collect();
    // The lock's content changes with every attempt to open a store.
    entries.retain(|(name, _)| name != "LOCK");
    entries.sort();
    entries
}

#[test]
fn folder_of_someone_else() {
    let parent = tempfile::tempdir().unwrap();
    let expected = "the store at `{path}` has format version none, it holds `notes.txt`, which no store made, this \
                    program reads 1: choose an empty or a new folder for the store";
    let folder = parent.path().join("notes");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("notes.txt"), "important").unwrap();
    check_refused(&folder, expected);
    assert!(!folder.join("LOCK").exists());

    let folder = parent.path().join("tree");
    fs::create_dir_all(folder.join("tree")).unwrap();
    check_refused(&folder, &expected.replace("notes.txt", "tree"));

    let file = parent.path().join("file");
    fs::write(&file, "important").unwrap();
    check_refused(
        &file,
        "the store at `{path}` has format version none, it is a file, this program reads 1: choose an empty or a new \
         folder for the store",
    );
}

#[test]
fn folder_of_another_version() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("store");
    drop(EmbeddedStore::open(&folder).unwrap());
    assert_eq!(
        fs::read_to_string(folder.join("FORMAT")).unwrap(),
        "workflow store, format version 1\n"
    );
    for (stamp, expected) in [
        (
            "workflow store, format version 7\n",
            "the store at `{path}` has format version 7, this program reads 1: open it with the program version that \
             wrote it, or a newer one",
        ),
        (
            "something else",
            "the store at `{path}` has format version none, its file `FORMAT` is not a store's, this program reads 1: \
             choose an empty or a new folder for the store",
        ),
    ] {
        fs::write(folder.join("FORMAT"), stamp).unwrap();
        check_refused(&folder, expected);
    }
    fs::write(folder.join("FORMAT"), [0xff, 0xfe]).unwrap();
    assert!(matches!(EmbeddedStore::open(&folder), Err(Error::Format { .. })));
}

#[test]
fn lost_tree() {
    let folder = tempfile::tempdir().unwrap();
    drop(EmbeddedStore::open(folder.path()).unwrap());
    fs::remove_dir_all(folder.path().join("tree")).unwrap();
    check_refused(
        folder.path(),
        "the store is corrupt: `{path}/tree` is missing or incomplete",
    );
}

#[test]
fn interrupted_creation_goes_on() {
    let parent = tempfile::tempdir().unwrap();
    for (name, files) in [
        ("lock", &["LOCK"][..]),
        ("journal", &["LOCK", "CLOCK", "tree/0.jnl"]),
        ("draft", &["LOCK", "CLOCK", "FORMAT.new"]),
    ] {
        let folder = parent.path().join(name);
        fs::create_dir_all(folder.join("tree")).unwrap();
        for file in files {
            fs::write(folder.join(file), "").unwrap();
        }
        drop(EmbeddedStore::open(&folder).unwrap());
        assert!(folder.join("FORMAT").exists());
    }
}
