//! What the engine is compared to: the bare store, and the disk below it.

use std::fs::File;
use std::future::Future;
use std::io::Write as _;
use std::path::Path;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use workflow_runtime::store::{Store, Verdict};

use crate::Failure;
use crate::statistics::{Timing, time};
use crate::trace::Trace;

/// Commits what an engine has committed, in the same groups, in a bare loop.
pub(crate) fn replay(store: &dyn Store, trace: &Trace) -> Result<Timing, Failure> {
    let (result, timing) = time(|| {
        for group in &trace.groups {
            let verdicts = ready(store.commit(group))?;
            if !verdicts.iter().all(|verdict| *verdict == Verdict::Applied) {
                return Err("the recorded batches do not apply to an empty store".into());
            }
        }
        Ok(())
    });
    result.map(|()| timing)
}

/// The rate at which the disk takes appends of this size, each synced, to a file that has its length already, as the
/// store's journal has, or to one that grows.
pub(crate) fn disk(folder: &Path, bytes: usize, grows: bool, run: Duration) -> std::io::Result<f64> {
    let mut file = File::create(folder.join("appended"))?;
    if !grows {
        file.set_len(64 << 20)?;
    }
    let block = vec![7; bytes];
    let (start, mut count) = (Instant::now(), 0_u32);
    while start.elapsed() < run {
        file.write_all(&block)?;
        file.sync_data()?;
        count += 1;
    }
    Ok(f64::from(count) / start.elapsed().as_secs_f64())
}

/// The stores here never wait for anything but the disk.
fn ready<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => unreachable!("the store waits for something else than the disk"),
    }
}
