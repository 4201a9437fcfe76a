//! Puts a shorter journal in a longer one's place, such that a process which dies at any moment loses nothing.
//!
//! Before the tree is open it is a new file, renamed over the old one ([`replace`]). But an open tree keeps its file:
//! it appends to it, wherever its name leads. So there the content is exchanged ([`rewrite`]), while nobody writes:
//!
//! 1. The new content becomes the file `N.jnl.live`: written under another name, synced, renamed, the folder synced.
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

/// How [`rewrite`] failed.
#[derive(Debug)]
pub(super) enum RewriteError {
    /// The journal is as it was.
    Before,
    /// The tree must be closed, and [`finish`] called.
    Within,
}

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
    let draft = path.with_extension(DRAFT);
    if write(&draft, content).is_err() {
        let _ = fs::remove_file(&draft);
        return Ok(false);
    }
    // If it is not certain which of the two the folder holds, nothing more may be written to either.
    fs::rename(&draft, path)?;
    sync_parent(path)?;
    Ok(true)
}

/// Replaces the content of a journal to which an open tree appends, but not now. Returns if it is certain that a later
/// [`finish`] finds nothing to do. Calls `step` after each step; a test may fail there.
pub(super) fn rewrite(
    path: &Path,
    content: &[u8],
    mut step: impl FnMut(Step) -> io::Result<()>,
) -> Result<(), RewriteError> {
    let (draft, live) = (path.with_extension(DRAFT), path.with_extension(LIVE));
    if write(&draft, content).and_then(|()| step(Step::Drafted)).is_err() {
        let _ = fs::remove_file(&draft);
        return Err(RewriteError::Before);
    }
    let mut exchange = || {
        fs::rename(&draft, &live)?;
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
    };
    exchange().map_err(|_: io::Error| RewriteError::Within)
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

fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(content)?;
    file.sync_all()
}

fn sync_parent(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), sync_folder)
}
