//! Puts a shorter journal in a longer one's place, such that a process which dies at any moment loses nothing.
//!
//! Before the tree is open it is a new file, renamed over the old one ([`replace`]). But an open tree keeps its file:
//! it appends to it, wherever its name leads. So there the content is exchanged ([`rewrite`]), while nobody writes:
//!
//! 1. The new content becomes the file `N.jnl.live`: written under another name, synced ([`draft`], which nobody has to
//!    wait for), renamed, the folder synced.
//! 2. `N.jnl` is emptied, and gets the new content; it is synced.
//! 3. `N.jnl.live` is deleted and the folder synced; only then the next group may be written.
//!
//! While `N.jnl.live` exists it holds all that counts, and no group came after it. So who opens the tree and finds one
//! renames it to `N.jnl` ([`finish`]).

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use super::folder::sync_folder;

const DRAFT: &str = "jnl.new";
const LIVE: &str = "jnl.live";

/// What [`rewrite`] has done so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Drafted,
    Named,
    Emptied,
    Written,
    Deleted,
}

/// Replaces the journal of a closed tree; `false` where there is no space for it, which changes nothing.
pub(super) fn replace(path: &Path, content: &[u8]) -> io::Result<bool> {
    if !draft(path, content) {
        return Ok(false);
    }
    // If it is not certain which of the two the folder holds, nothing more may be written to either.
    fs::rename(path.with_extension(DRAFT), path)?;
    sync_parent(path)?;
    Ok(true)
}

/// Writes the new content under a name that nobody reads; `false` where there is no space for it.
pub(super) fn draft(path: &Path, content: &[u8]) -> bool {
    let draft = path.with_extension(DRAFT);
    let write = || {
        let mut file = File::create(&draft)?;
        file.write_all(content)?;
        file.sync_all()
    };
    let is_written: io::Result<()> = write();
    if is_written.is_err() {
        let _ = fs::remove_file(&draft);
    }
    is_written.is_ok()
}

/// Replaces the content of a journal to which an open tree appends, but not now, by the [`draft`]. After a failure the
/// tree must be closed, and [`finish`] called. Calls `step` after each step; a test may fail there.
pub(super) fn rewrite(
    path: &Path,
    content: &[u8],
    mut step: impl FnMut(Step) -> io::Result<()>,
) -> io::Result<()> {
    let live = path.with_extension(LIVE);
    step(Step::Drafted)?;
    fs::rename(path.with_extension(DRAFT), &live)?;
    sync_parent(path)?;
    step(Step::Named)?;
    let mut journal = OpenOptions::new().append(true).open(path)?;
    journal.set_len(0)?;
    step(Step::Emptied)?;
    journal.write_all(content)?;
    journal.sync_all()?;
    step(Step::Written)?;
    fs::remove_file(&live)?;
    step(Step::Deleted)?;
    sync_parent(path)
}

/// Completes what [`rewrite`] began in the folder of a closed tree.
pub(super) fn finish(tree: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(tree) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let (mut lives, mut drafts) = (Vec::new(), Vec::new());
    for entry in entries {
        let path = entry?.path();
        match path.to_str() {
            Some(name) if name.ends_with(".jnl.live") => lives.push(path),
            Some(name) if name.ends_with(".jnl.new") => drafts.push(path),
            _ => {}
        }
    }
    for live in &lives {
        fs::rename(live, live.with_extension(""))?;
    }
    for draft in drafts {
        let _ = fs::remove_file(draft);
    }
    if lives.is_empty() {
        Ok(())
    } else {
        sync_folder(tree)
    }
}

fn sync_parent(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), sync_folder)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    const STEPS: [Step; 5] = [
        Step::Drafted,
        Step::Named,
        Step::Emptied,
        Step::Written,
        Step::Deleted,
    ];

    fn journal(content: &[u8]) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("3.jnl");
        fs::write(&path, content).unwrap();
        (folder, path)
    }

    fn expect_only(folder: &Path, content: &[u8]) {
        let names: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(names, ["3.jnl"]);
        assert_eq!(fs::read(folder.join("3.jnl")).unwrap(), content);
    }

    #[test]
    fn content_is_exchanged() {
        let (folder, path) = journal(b"the old content");
        let appending = || OpenOptions::new().append(true).open(&path).unwrap();
        let mut tree = appending();
        assert!(draft(&path, b"new"));
        rewrite(&path, b"new", |_| Ok(())).unwrap();
        // The open file goes on at the new end.
        tree.write_all(b", more").unwrap();
        expect_only(folder.path(), b"new, more");
        assert!(replace(&path, b"newer").unwrap());
        finish(folder.path()).unwrap();
        expect_only(folder.path(), b"newer");
    }

    #[test]
    fn failure_after_each_step_is_finished() {
        for failing in STEPS {
            let (folder, path) = journal(b"the old content");
            assert!(draft(&path, b"new"));
            let result = rewrite(&path, b"new", |step| {
                if step == failing {
                    return Err(io::Error::other("failed"));
                }
                Ok(())
            });
            result.unwrap_err();
            finish(folder.path()).unwrap();
            let expected = if failing == Step::Drafted {
                &b"the old content"[..]
            } else {
                b"new"
            };
            expect_only(folder.path(), expected);
        }
    }

    #[test]
    fn death_after_each_step_is_finished() {
        for last in STEPS {
            let (folder, path) = journal(b"the old content");
            let copy = tempfile::tempdir().unwrap();
            let copy_all = |step| {
                if step == last {
                    for entry in fs::read_dir(folder.path())? {
                        let path = entry?.path();
                        fs::copy(&path, copy.path().join(path.file_name().unwrap()))?;
                    }
                }
                Ok(())
            };
            assert!(draft(&path, b"new"));
            rewrite(&path, b"new", copy_all).unwrap();
            finish(copy.path()).unwrap();
            let expected = if last == Step::Drafted {
                &b"the old content"[..]
            } else {
                b"new"
            };
            expect_only(copy.path(), expected);
        }
    }

    #[test]
    fn torn_journal_beside_the_live_one_is_replaced() {
        let (folder, path) = journal(b"ne");
        fs::write(path.with_extension(LIVE), b"new").unwrap();
        fs::write(path.with_extension(DRAFT), b"half a dra").unwrap();
        finish(folder.path()).unwrap();
        expect_only(folder.path(), b"new");
    }
}
