//! The store's clock: the wall clock, which never goes back, also not over a restart.
//!
//! Whatever is handed out lies below a ceiling that the file `CLOCK` holds; reaching it moves it [`RESERVE_MS`] ahead.
//! That is one write of 16 bytes into the page cache per tenth of a second in which somebody asks, none otherwise, and
//! it survives the process. A new process starts at the ceiling: at most [`RESERVE_MS`] ahead of the wall clock. The
//! file is synced every [`SYNC_MS`]: after a power loss *and* a wall clock that was set back the store's clock may lose
//! up to that much, and no more.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::store::{Clock, Error};

const RESERVE_MS: u64 = 100;
const SYNC_MS: u64 = 10_000;

#[derive(Debug)]
pub(super) struct Time {
    clock: Box<dyn Clock>,
    latest_ms: AtomicU64,
    ceiling_ms: AtomicU64,
    file: Mutex<CeilingFile>,
}

#[derive(Debug)]
struct CeilingFile {
    file: File,
    synced_ms: u64,
}

impl Time {
    pub(super) fn open(path: &Path, clock: Box<dyn Clock>) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        let mut file = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        let ceiling_ms = read(&mut file)?;
        Ok(Self {
            clock,
            latest_ms: AtomicU64::new(ceiling_ms),
            ceiling_ms: AtomicU64::new(ceiling_ms),
            file: Mutex::new(CeilingFile {
                file,
                synced_ms: ceiling_ms,
            }),
        })
    }

    pub(super) fn now_ms(&self) -> Result<u64, Error> {
        let wall_ms = self.clock.now_ms();
        let now_ms = self.latest_ms.load(Ordering::SeqCst).max(wall_ms);
        if now_ms > self.ceiling_ms.load(Ordering::SeqCst) {
            let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
            if now_ms > self.ceiling_ms.load(Ordering::SeqCst) {
                let ceiling_ms = now_ms.saturating_add(RESERVE_MS);
                file.raise(ceiling_ms)
                    .map_err(|error| Error::Unavailable(format!("the clock's file: {error}")))?;
                self.ceiling_ms.store(ceiling_ms, Ordering::SeqCst);
            }
        }
        Ok(self.latest_ms.fetch_max(now_ms, Ordering::SeqCst).max(now_ms))
    }
}

impl Drop for Time {
    fn drop(&mut self) {
        // A clean close gives back what was reserved and not handed out. If that fails the ceiling is still right.
        let latest_ms = *self.latest_ms.get_mut();
        let file = self.file.get_mut().unwrap_or_else(PoisonError::into_inner);
        let _ = write(&mut file.file, latest_ms);
    }
}

impl CeilingFile {
    fn raise(&mut self, ceiling_ms: u64) -> io::Result<()> {
        write(&mut self.file, ceiling_ms)?;
        if ceiling_ms - self.synced_ms >= SYNC_MS {
            self.file.sync_data()?;
            self.synced_ms = ceiling_ms;
        }
        Ok(())
    }
}

fn write(file: &mut File, ceiling_ms: u64) -> io::Result<()> {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&ceiling_ms.to_le_bytes());
    bytes[8..].copy_from_slice(&(!ceiling_ms).to_le_bytes());
    file.seek(SeekFrom::Start(0))?;
    file.write_all(&bytes)
}

/// The stored ceiling; 0 where there is none yet, or where a power loss left none that is whole.
fn read(file: &mut File) -> io::Result<u64> {
    let mut bytes = Vec::with_capacity(16);
    file.take(16).read_to_end(&mut bytes)?;
    let (Some(value), Some(check)) = (
        bytes.first_chunk::<8>(),
        bytes.get(8..).and_then(<[u8]>::first_chunk::<8>),
    ) else {
        return Ok(0);
    };
    let value = u64::from_le_bytes(*value);
    Ok(if u64::from_le_bytes(*check) == !value {
        value
    } else {
        0
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::ManualClock;

    #[test]
    fn never_goes_back_and_hardly_ahead() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("CLOCK");
        let wall = ManualClock::new(1_000_000);
        let open = || Time::open(&path, Box::new(wall.clone())).unwrap();

        let time = open();
        assert_eq!(time.now_ms().unwrap(), 1_000_000);
        wall.set(999_000);
        assert_eq!(time.now_ms().unwrap(), 1_000_000);
        // A process that dies does not run `drop`.
        std::mem::forget(time);

        let time = open();
        assert_eq!(time.now_ms().unwrap(), 1_000_000 + RESERVE_MS);
        drop(time);
        assert_eq!(
            open().now_ms().unwrap(),
            1_000_000 + RESERVE_MS,
            "a clean close reserves nothing"
        );

        wall.set(2_000_000);
        assert_eq!(open().now_ms().unwrap(), 2_000_000);
    }

    #[test]
    fn broken_file_counts_as_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("CLOCK");
        for content in [
            &b""[..],
            b"short",
            b"0123456789abcdef",
            b"0123456789abcdef and more",
        ] {
            std::fs::write(&path, content).unwrap();
            let time = Time::open(&path, Box::new(ManualClock::new(7))).unwrap();
            assert_eq!(time.now_ms().unwrap(), 7);
        }
    }
}
