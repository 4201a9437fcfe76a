//! The tree behind its locks: one writer, and a tree that is closed after a failed write and opened anew.
//!
//! Locks are taken in this order: the writer's, then the tree's. Who holds the tree's lock for reading may use the tree
//! but not close it. The journal is written and exchanged only under the writer's lock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError, RwLock};

use bytes::Bytes;

use super::BATCH_BYTES;
use super::backlog::Backlog;
use super::database::{Database, Settings, WriteError};
use super::folder::Folder;
use super::journal::Reader;
use super::latest::Latest;
use super::shrink;
use crate::store::overlay::Overlay;
use crate::store::{Batch, Error, Verdict, group};

/// A journal of which more counts stays as it is: exchanging it would take longer than some milliseconds.
const LATEST_BYTES: usize = 1 << 20;

pub(super) struct GuardedTree {
    // The lock in `folder` is dropped last.
    tree: RwLock<Tree>,
    writer: Mutex<()>,
    /// How often the tree was opened.
    openings: AtomicU64,
    backlog: Backlog,
    settings: Settings,
    folder: Folder,
}

enum Tree {
    Open(Database),
    /// After a failure.
    Closed {
        /// The journal's entries from this number on are a write that failed.
        cut_from: Option<u64>,
    },
}

impl GuardedTree {
    pub(super) fn open(settings: Settings, mut folder: Folder) -> Result<Self, Error> {
        let mut database = Database::open(&settings, None)?;
        folder.stamp()?;
        if database.found().is_none() {
            // A journal that the tree made itself could not be exchanged under load.
            database.close();
            database = Database::open(&settings, None)?;
        }
        let backlog = Backlog::default();
        Self::begin(&backlog, &database);
        Ok(Self {
            tree: RwLock::new(Tree::Open(database)),
            writer: Mutex::new(()),
            openings: AtomicU64::new(0),
            backlog,
            settings,
            folder,
        })
    }

    fn begin(backlog: &Backlog, database: &Database) {
        let found = database.found();
        backlog.reset(
            found.map_or(0, |found| found.bytes),
            found.map_or(0, |found| found.latest_bytes),
        );
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(super) fn folder(&self) -> &Folder {
        &self.folder
    }

    pub(super) fn backlog(&self) -> &Backlog {
        &self.backlog
    }

    /// Works with the open tree, which is opened first where a failure has closed it.
    pub(super) fn with_database<T>(
        &self,
        work: impl FnOnce(&Database) -> Result<T, Error>,
    ) -> Result<T, Error> {
        loop {
            if let Tree::Open(database) = &*self.tree.read().unwrap_or_else(PoisonError::into_inner) {
                return work(database);
            }
            self.reopen()?;
        }
    }

    /// Opens the tree if it is closed.
    fn reopen(&self) -> Result<(), Error> {
        let mut tree = self.tree.write().unwrap_or_else(PoisonError::into_inner);
        if let Tree::Closed { cut_from } = *tree {
            self.folder.prepare_tree()?;
            let database = Database::open(&self.settings, cut_from)?;
            self.openings.fetch_add(1, Ordering::Relaxed);
            Self::begin(&self.backlog, &database);
            *tree = Tree::Open(database);
        }
        Ok(())
    }

    /// Closes the tree after a failed write, whose remains are in the journal from the number `cut_from` on.
    pub(super) fn close(&self, cut_from: Option<u64>) {
        let mut tree = self.tree.write().unwrap_or_else(PoisonError::into_inner);
        if let Tree::Open(database) = std::mem::replace(&mut *tree, Tree::Closed { cut_from }) {
            database.close();
        }
    }

    pub(super) fn commit_group(&self, group: &[Batch]) -> Result<Vec<Verdict>, Error> {
        group::check(group, BATCH_BYTES)?;
        let _writer = self.lock_writer();
        let (verdicts, overlay) = self.with_database(|database| {
            let mut overlay = Overlay::with_capacity(2 * group.len());
            let mut read = |key: &Bytes| database.latest(key);
            let judged = group.iter().map(|batch| overlay.judge(batch, &mut read));
            Ok((judged.collect::<Result<Vec<_>, Error>>()?, overlay))
        })?;
        if !overlay.is_clean() {
            self.write(&overlay)?;
        }
        Ok(verdicts)
    }

    fn write(&self, overlay: &Overlay) -> Result<(), Error> {
        let mut is_repeated = false;
        loop {
            let written = self.with_database(|database| Ok(database.write(overlay)))?;
            match written {
                Ok(bytes) => {
                    self.backlog.add(bytes);
                    return Ok(());
                }
                // The tree's own thread had failed, which shows only now. Opening the tree gives it another one.
                Err(WriteError::Earlier) if !is_repeated => {
                    self.close(None);
                    is_repeated = true;
                }
                Err(WriteError::Earlier) => {
                    self.close(None);
                    let tree = self.settings.tree.display();
                    return Err(Error::Unavailable(format!(
                        "`{tree}`: the tree cannot be written to the disk"
                    )));
                }
                Err(WriteError::Now { number, cause }) => {
                    self.close(Some(number));
                    // With the write cut off the journal it is certain that it was not applied. Where that fails, it is
                    // cut off before the next call gets to see the tree; only if the process ends before, it may stay.
                    return Err(match self.reopen() {
                        Ok(()) => cause,
                        Err(error) => Error::Unknown(format!("{cause}; then {error}")),
                    });
                }
            }
        }
    }

    /// Leaves out of the journal what it overwrites itself. `false`: not now, a commit or the tree's own work is in the
    /// way. `is_idle`: readers may have to wait too.
    pub(super) fn shorten(&self, is_idle: bool) -> bool {
        if self.peek(|_| Some(())).is_none() {
            // Opening it shortens the journal.
            return true;
        }
        let opening = self.openings.load(Ordering::Relaxed);
        let journal = self.peek(Database::appended_journal);
        let Some(path) = journal else {
            return is_idle && self.reopen_when_calm();
        };
        // Most of it is read before a commit has to wait.
        let Ok(mut reader) = Reader::open(&path) else {
            return false;
        };
        let mut latest = Latest::new(LATEST_BYTES);
        if !self.read_on(&mut reader, &mut latest) {
            return false;
        }
        let flushed = self.peek(Database::flushed);
        let encode = |reader: &Reader, latest: &Latest| {
            let content = latest.encode(flushed);
            content.filter(|content| content.len() as u64 <= reader.offset() / 2)
        };
        let drafted = encode(&reader, &latest).filter(|content| shrink::draft(&path, content));
        let _writer = self.lock_writer();
        let Some(drafted) = drafted else {
            let bytes = self.backlog.bytes();
            self.backlog.reset(bytes, bytes);
            return true;
        };
        let is_calm = self.peek(|database| database.is_calm().then(|| database.appended_journal())?);
        if self.openings.load(Ordering::Relaxed) != opening || is_calm.as_ref() != Some(&path) {
            return false;
        }
        // What was written meanwhile.
        if reader.restart().is_err() || !self.read_on(&mut reader, &mut latest) {
            return false;
        }
        let length = reader.file().metadata().map_or(0, |metadata| metadata.len());
        let content = encode(&reader, &latest).filter(|content| {
            // If there is something behind the entries that are whole, opening the tree is what judges it.
            length == reader.offset() && (*content == drafted || shrink::draft(&path, content))
        });
        let Some(content) = content else {
            self.backlog.reset(length, length);
            return true;
        };
        if shrink::rewrite(&path, &content, |_| Ok(())).is_ok() {
            let bytes = content.len() as u64;
            self.backlog.reset(bytes, bytes);
        } else {
            self.close(None);
            // Where that fails, the next call that needs the tree opens it.
            let _ = self.reopen();
        }
        true
    }

    /// `false` if it was not read to its end.
    fn read_on(&self, reader: &mut Reader, latest: &mut Latest) -> bool {
        loop {
            match reader.next() {
                Ok(Some(entry)) => latest.add(&entry),
                Ok(None) => return true,
                Err(_) => return false,
            }
            if self.backlog.is_closing() {
                return false;
            }
        }
    }

    /// The opening shortens the journal too. It is needed where the tree does not append to its file but writes at a
    /// place of its own, as it does in a file that it made itself.
    fn reopen_when_calm(&self) -> bool {
        let groups = self.backlog.groups();
        let _writer = self.lock_writer();
        let is_calm = self.peek(|database| (database.is_calm() && !database.is_compacting()).then_some(()));
        if is_calm.is_none() || self.backlog.groups() != groups {
            return false;
        }
        self.close(None);
        let _ = self.reopen();
        true
    }

    /// Looks at the tree if it is open.
    fn peek<T>(&self, look: impl FnOnce(&Database) -> Option<T>) -> Option<T> {
        match &*self.tree.read().unwrap_or_else(PoisonError::into_inner) {
            Tree::Open(database) => look(database),
            Tree::Closed { .. } => None,
        }
    }

    fn lock_writer(&self) -> std::sync::MutexGuard<'_, ()> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for GuardedTree {
    fn drop(&mut self) {
        // Before the lock is gone, so that the next holder of the folder is alone in it.
        self.close(None);
    }
}
