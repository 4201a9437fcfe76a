//! The store's folder: whose it is, which format it has, and that one process at a time holds it.
//!
//! Layout: `FORMAT` (the stamp, written last when a store is created), `LOCK` (held locked; names its holder), `CLOCK`
//! (see [`super::time`]) and `tree/` (the LSM tree and its journal). Nothing is written into a folder that holds files
//! of someone else.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use crate::store::Error;

const FORMAT: &str = "FORMAT";
const FORMAT_DRAFT: &str = "FORMAT.new";
const LOCK: &str = "LOCK";
const CLOCK: &str = "CLOCK";
const TREE: &str = "tree";
const TITLE: &str = "workflow store, format version ";
const VERSION: &str = "1";

/// A folder that this process holds until the value is dropped, or the process dies.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    is_stamped: bool,
    // Holds the lock.
    _lock: File,
}

impl Folder {
    /// Creates or takes over the folder.
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let failed = |error: io::Error| unavailable(path, &error);
        if path.is_file() {
            return Err(foreign(path, "none, it is a file"));
        }
        fs::create_dir_all(path).map_err(failed)?;
        refuse_foreign(path)?;
        let lock = lock(path)?;
        let is_stamped = match fs::read_to_string(path.join(FORMAT)) {
            Ok(stamp) => check_stamp(path, &stamp)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) if error.kind() == io::ErrorKind::InvalidData => check_stamp(path, "")?,
            Err(error) => return Err(failed(error)),
        };
        let folder = Self {
            path: path.to_owned(),
            is_stamped,
            _lock: lock,
        };
        folder.prepare_tree()?;
        Ok(folder)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn tree(&self) -> PathBuf {
        self.path.join(TREE)
    }

    pub(super) fn clock(&self) -> PathBuf {
        self.path.join(CLOCK)
    }

    /// Marks the store as completely created. Without the stamp the next `open` goes on with the creation.
    pub(super) fn stamp(&mut self) -> Result<(), Error> {
        if self.is_stamped {
            return Ok(());
        }
        let write = || {
            let draft = self.path.join(FORMAT_DRAFT);
            let mut file = File::create(&draft)?;
            file.write_all(format!("{TITLE}{VERSION}\n").as_bytes())?;
            file.sync_all()?;
            fs::rename(&draft, self.path.join(FORMAT))?;
            sync_folder(&self.path)?;
            // The folder's own name must survive a power loss too.
            self.path
                .parent()
                .filter(|parent| parent.is_dir())
                .map_or(Ok(()), sync_folder)
        };
        write().map_err(|error| unavailable(&self.path, &error))?;
        self.is_stamped = true;
        Ok(())
    }

    /// A tree that was never completely created holds nothing and cannot be opened; a stamped store without one has
    /// lost its data, and must not go on with a new one.
    pub(super) fn prepare_tree(&self) -> Result<(), Error> {
        let tree = self.tree();
        if tree.join("version").exists() {
            return Ok(());
        }
        if self.is_stamped {
            return Err(Error::Corrupt(format!(
                "`{}` is missing or incomplete",
                tree.display()
            )));
        }
        match fs::remove_dir_all(&tree) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(unavailable(&self.path, &error)),
            _ => Ok(()),
        }
    }
}

#[cfg(not(windows))]
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

#[cfg(windows)]
pub(super) fn sync_folder(_path: &Path) -> io::Result<()> {
    // Windows has no handle on a folder that could be synced.
    Ok(())
}

fn unavailable(path: &Path, error: &io::Error) -> Error {
    Error::Unavailable(format!("`{}`: {error}", path.display()))
}

fn foreign(path: &Path, found: &str) -> Error {
    Error::Format {
        path: path.display().to_string(),
        found: found.to_owned(),
        supported: VERSION.to_owned(),
        fix: "choose an empty or a new folder for the store".to_owned(),
    }
}

fn refuse_foreign(path: &Path) -> Result<(), Error> {
    let names: io::Result<Vec<_>> =
        fs::read_dir(path).and_then(|entries| entries.map(|entry| Ok(entry?.file_name())).collect());
    let names = names.map_err(|error| unavailable(path, &error))?;
    let has = |name: &str| names.iter().any(|found| found == name);
    if has(FORMAT) {
        return Ok(());
    }
    // The lock comes first: without it, even our own names are someone else's.
    let ours = [LOCK, CLOCK, TREE, FORMAT_DRAFT];
    match names
        .iter()
        .find(|name| !has(LOCK) || !ours.iter().any(|our| *name == our))
    {
        None => Ok(()),
        Some(name) => Err(foreign(
            path,
            &format!("none, it holds `{}`, which no store made", name.display()),
        )),
    }
}

/// Returns `true`, or why this version cannot read the store.
fn check_stamp(path: &Path, stamp: &str) -> Result<bool, Error> {
    let found = match stamp.trim_end().strip_prefix(TITLE) {
        Some(VERSION) => return Ok(true),
        Some(other) => other,
        None => return Err(foreign(path, "none, its file `FORMAT` is not a store's")),
    };
    Err(Error::Format {
        path: path.display().to_string(),
        found: found.to_owned(),
        supported: VERSION.to_owned(),
        fix: "open it with the program version that wrote it, or a newer one".to_owned(),
    })
}

fn lock(path: &Path) -> Result<File, Error> {
    let failed = |error: io::Error| unavailable(path, &error);
    let mut options = OpenOptions::new();
    let mut file = options
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path.join(LOCK))
        .map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::Error(error)) => return Err(failed(error)),
        Err(TryLockError::WouldBlock) => {
            // Where locks are mandatory the holder's name cannot be read.
            let mut holder = String::new();
            let _ = (&file).take(1024).read_to_string(&mut holder);
            let holder = holder.trim();
            let holder = if holder.is_empty() {
                "another process"
            } else {
                holder
            };
            return Err(Error::InUse {
                path: path.display().to_string(),
                holder: holder.to_owned(),
            });
        }
    }
    let program = std::env::current_exe().ok();
    let program = program
        .as_deref()
        .and_then(Path::file_name)
        .map(|name| name.display().to_string());
    let program = program.unwrap_or_else(|| "unknown program".to_owned());
    let holder = format!("process {} ({program})\n", std::process::id());
    // The lock is what counts; a full disk must not keep the store shut because of the holder's name.
    let _ = file.set_len(0).and_then(|()| file.write_all(holder.as_bytes()));
    Ok(file)
}
