//! A store that fails on purpose, after a seeded plan: the same seed gives the same faults.
//!
//! Each call draws from the plan's own random numbers, so a run is reproducible where its calls come in the same
//! order. Data that the inner store applied stays there: a new engine that opens on a clone of the inner store is the
//! process after the crash.

use std::fmt;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use super::random::Random;
use super::{Batch, CommitProfile, Error, Store, StoreFuture, Verdict};

/// What goes wrong, and how often. Printing a plan prints its seed.
///
/// ```
/// use workflow_runtime::store::FaultPlan;
///
/// let plan = FaultPlan::seeded(42).unavailable(0.1).unknown_applied(0.05);
/// assert!(plan.to_string().starts_with("seed 42"));
/// // From the third commit on, the process is gone; the third one is still applied.
/// let plan = FaultPlan::none().crash_after_commit(3);
/// # let _ = plan;
/// ```
#[derive(Debug, Clone, PartialEq)]
#[must_use]
pub struct FaultPlan {
    seed: u64,
    unavailable: f64,
    unknown_applied: f64,
    unknown_not_applied: f64,
    read_error: f64,
    delay: f64,
    longest_delay: Duration,
    crash: Option<Crash>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Crash {
    Before(u64),
    After(u64),
}

impl FaultPlan {
    /// Nothing goes wrong.
    pub fn none() -> Self {
        Self {
            seed: 0,
            unavailable: 0.0,
            unknown_applied: 0.0,
            unknown_not_applied: 0.0,
            read_error: 0.0,
            delay: 0.0,
            longest_delay: Duration::from_millis(20),
            crash: None,
        }
    }

    /// A little of everything but a crash, by the seed: one commit in 20 unavailable, one in 20 applied and one in 20
    /// not applied but unknown, one read in 20 failing, one call in 10 delayed by up to 20 ms.
    pub fn seeded(seed: u64) -> Self {
        Self {
            seed,
            unavailable: 0.05,
            unknown_applied: 0.05,
            unknown_not_applied: 0.05,
            read_error: 0.05,
            delay: 0.1,
            ..Self::none()
        }
    }

    /// The seed of this plan.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// How often a commit fails with [`Error::Unavailable`] and is not applied, from 0 to 1.
    pub fn unavailable(self, probability: f64) -> Self {
        Self {
            unavailable: probability,
            ..self
        }
    }

    /// How often a commit fails with [`Error::Unknown`] although it is applied, from 0 to 1.
    pub fn unknown_applied(self, probability: f64) -> Self {
        Self {
            unknown_applied: probability,
            ..self
        }
    }

    /// How often a commit fails with [`Error::Unknown`] and is not applied, from 0 to 1.
    pub fn unknown_not_applied(self, probability: f64) -> Self {
        Self {
            unknown_not_applied: probability,
            ..self
        }
    }

    /// How often a read, or a look at the clock, fails with [`Error::Unavailable`], from 0 to 1.
    pub fn read_error(self, probability: f64) -> Self {
        Self {
            read_error: probability,
            ..self
        }
    }

    /// How often a call is delayed, from 0 to 1, and by how much at most. The delays are tokio's time, which a test can
    /// pause.
    pub fn delay(self, probability: f64, longest: Duration) -> Self {
        Self {
            delay: probability,
            longest_delay: longest,
            ..self
        }
    }

    /// The process dies before the `k`-th commit (from 1) reaches the store: that call and all later ones fail with
    /// [`Error::Unavailable`] (`crashed`).
    pub fn crash_before_commit(self, k: u64) -> Self {
        Self {
            crash: Some(Crash::Before(k)),
            ..self
        }
    }

    /// The process dies after the `k`-th commit (from 1) is applied, before it hears of it: that call and all later
    /// ones fail with [`Error::Unavailable`] (`crashed`).
    pub fn crash_after_commit(self, k: u64) -> Self {
        Self {
            crash: Some(Crash::After(k)),
            ..self
        }
    }
}

impl fmt::Display for FaultPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "seed {}: unavailable {}, unknown but applied {}, unknown and not applied {}, read error {}, delay {} of \
             up to {:?}",
            self.seed,
            self.unavailable,
            self.unknown_applied,
            self.unknown_not_applied,
            self.read_error,
            self.delay,
            self.longest_delay,
        )?;
        match self.crash {
            None => Ok(()),
            Some(Crash::Before(k)) => write!(f, ", crash before commit {k}"),
            Some(Crash::After(k)) => write!(f, ", crash after commit {k}"),
        }
    }
}

/// A [`Store`] that behaves like the one inside, except for the faults of a [`FaultPlan`].
///
/// ```
/// use bytes::Bytes;
/// use workflow_runtime::store::{Batch, FaultPlan, FaultyStore, MemoryStore, Store, Write};
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// let disk = MemoryStore::new();
/// let store = FaultyStore::new(disk.clone(), FaultPlan::none().crash_after_commit(1));
/// let key = Bytes::from_static(b"order/1");
/// let batch = Batch { conditions: vec![], writes: vec![Write::Put(key.clone(), Bytes::from_static(b"paid"))] };
///
/// let error = store.commit(&[batch]).await.unwrap_err();
/// assert_eq!(error.to_string(), "the store is unavailable: crashed");
/// assert!(store.get(&[key.clone()]).await.is_err());
/// assert!(store.is_crashed());
/// // The process after the crash finds what was applied.
/// assert_eq!(disk.get(&[key]).await?, [Some(Bytes::from_static(b"paid"))]);
/// # Ok::<(), workflow_runtime::store::Error>(())
/// # }).unwrap();
/// ```
#[derive(Debug)]
pub struct FaultyStore<S> {
    inner: S,
    plan: FaultPlan,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    random: Random,
    commits: u64,
    faults: u64,
    is_crashed: bool,
}

/// What happens to one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Pass,
    Crashed,
    Unavailable,
    UnknownApplied,
    UnknownNotApplied,
    CrashAfter,
}

impl<S> FaultyStore<S> {
    /// Wraps a store.
    pub fn new(inner: S, plan: FaultPlan) -> Self {
        let state = State {
            random: Random(plan.seed),
            commits: 0,
            faults: 0,
            is_crashed: false,
        };
        Self {
            inner,
            plan,
            state: Mutex::new(state),
        }
    }

    /// The store inside, which has no faults.
    pub fn inner(&self) -> &S {
        &self.inner
    }

    /// The plan, whose seed belongs into a failing test's message.
    pub fn plan(&self) -> &FaultPlan {
        &self.plan
    }

    /// The number of calls to `commit` so far, those that failed included.
    pub fn commits(&self) -> u64 {
        self.with_state(|state| state.commits)
    }

    /// The number of calls that failed so far because of the plan, delays not counted.
    pub fn faults(&self) -> u64 {
        self.with_state(|state| state.faults)
    }

    /// Whether the planned crash has happened.
    pub fn is_crashed(&self) -> bool {
        self.with_state(|state| state.is_crashed)
    }

    fn with_state<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Draws the fate and the delay of a commit.
    fn commit_fate(&self) -> (Fate, Duration) {
        let plan = &self.plan;
        self.with_state(|state| {
            state.commits += 1;
            let delay = plan.draw_delay(&mut state.random);
            let draw = state.random.fraction();
            let unknown = plan.unavailable + plan.unknown_applied;
            let fate = if state.is_crashed {
                Fate::Crashed
            } else if plan.crash == Some(Crash::Before(state.commits)) {
                state.is_crashed = true;
                Fate::Crashed
            } else if plan.crash == Some(Crash::After(state.commits)) {
                Fate::CrashAfter
            } else if draw < plan.unavailable {
                Fate::Unavailable
            } else if draw < unknown {
                Fate::UnknownApplied
            } else if draw < unknown + plan.unknown_not_applied {
                Fate::UnknownNotApplied
            } else {
                Fate::Pass
            };
            state.faults += u64::from(fate != Fate::Pass);
            (fate, delay)
        })
    }

    /// Draws the fate of a read, waits if it is delayed, and fails if it shall.
    async fn read_fate(&self) -> Result<(), Error> {
        let (fate, delay) = self.with_state(|state| {
            let delay = self.plan.draw_delay(&mut state.random);
            let draw = state.random.fraction();
            let fate = match () {
                () if state.is_crashed => Fate::Crashed,
                () if draw < self.plan.read_error => Fate::Unavailable,
                () => Fate::Pass,
            };
            state.faults += u64::from(fate != Fate::Pass);
            (fate, delay)
        });
        pause(delay).await;
        match fate {
            Fate::Pass => Ok(()),
            Fate::Crashed => Err(crashed()),
            _ => Err(Error::Unavailable("injected".to_owned())),
        }
    }
}

impl FaultPlan {
    fn draw_delay(&self, random: &mut Random) -> Duration {
        let (is_delayed, part) = (random.fraction() < self.delay, random.fraction());
        if is_delayed {
            self.longest_delay.mul_f64(part)
        } else {
            Duration::ZERO
        }
    }
}

async fn pause(delay: Duration) {
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
}

fn crashed() -> Error {
    Error::Unavailable("crashed".to_owned())
}

impl<S: Store> Store for FaultyStore<S> {
    fn get<'a>(&'a self, keys: &'a [Bytes]) -> StoreFuture<'a, Vec<Option<Bytes>>> {
        Box::pin(async move {
            self.read_fate().await?;
            self.inner.get(keys).await
        })
    }

    fn scan(&self, range: Range<Bytes>, limit: usize) -> StoreFuture<'_, Vec<(Bytes, Bytes)>> {
        Box::pin(async move {
            self.read_fate().await?;
            self.inner.scan(range, limit).await
        })
    }

    fn commit<'a>(&'a self, group: &'a [Batch]) -> StoreFuture<'a, Vec<Verdict>> {
        Box::pin(async move {
            let (fate, delay) = self.commit_fate();
            pause(delay).await;
            match fate {
                Fate::Pass => self.inner.commit(group).await,
                Fate::Crashed => Err(crashed()),
                Fate::Unavailable => Err(Error::Unavailable("injected".to_owned())),
                Fate::UnknownNotApplied => Err(Error::Unknown("injected".to_owned())),
                Fate::UnknownApplied => {
                    self.inner.commit(group).await?;
                    Err(Error::Unknown("injected".to_owned()))
                }
                Fate::CrashAfter => {
                    let applied = self.inner.commit(group).await;
                    self.with_state(|state| state.is_crashed = true);
                    applied.and(Err(crashed()))
                }
            }
        })
    }

    fn now_ms(&self) -> StoreFuture<'_, u64> {
        Box::pin(async move {
            self.read_fate().await?;
            self.inner.now_ms().await
        })
    }

    fn profile(&self) -> CommitProfile {
        self.inner.profile()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{MemoryStore, Write};

    fn put(key: &'static str) -> Vec<Batch> {
        let write = Write::Put(Bytes::from_static(key.as_bytes()), Bytes::new());
        vec![Batch {
            conditions: vec![],
            writes: vec![write],
        }]
    }

    async fn outcomes(plan: FaultPlan) -> Vec<String> {
        let store = FaultyStore::new(MemoryStore::new(), plan);
        let mut outcomes = Vec::new();
        for _ in 0..200 {
            outcomes.push(format!("{:?}", store.commit(&put("a")).await));
            outcomes.push(format!("{:?}", store.get(&[Bytes::from_static(b"a")]).await));
        }
        outcomes
    }

    #[tokio::test(start_paused = true)]
    async fn same_seed_same_faults() {
        let first = outcomes(FaultPlan::seeded(7)).await;
        assert_eq!(first, outcomes(FaultPlan::seeded(7)).await);
        assert_ne!(first, outcomes(FaultPlan::seeded(8)).await);
        for kind in ["Ok", "Err(Unavailable", "Err(Unknown"] {
            assert!(
                first.iter().any(|outcome| outcome.starts_with(kind)),
                "{kind} never happened"
            );
        }
    }

    #[tokio::test]
    async fn crash_takes_the_right_commit() {
        for (plan, applied) in [
            (FaultPlan::none().crash_before_commit(2), 1),
            (FaultPlan::none().crash_after_commit(2), 2),
        ] {
            let store = FaultyStore::new(MemoryStore::new(), plan.clone());
            assert!(store.commit(&put("1")).await.is_ok());
            for key in ["2", "3"] {
                let error = store.commit(&put(key)).await.unwrap_err();
                assert_eq!(error.to_string(), "the store is unavailable: crashed", "{plan}");
            }
            assert!(store.now_ms().await.is_err());
            assert_eq!((store.commits(), store.inner().len()), (3, applied), "{plan}");
        }
    }

    #[tokio::test]
    async fn unknown_is_applied_or_not() {
        let always = |plan: FaultPlan| FaultyStore::new(MemoryStore::new(), plan);
        for (store, applied) in [
            (always(FaultPlan::none().unknown_applied(1.0)), 1),
            (always(FaultPlan::none().unknown_not_applied(1.0)), 0),
        ] {
            assert!(matches!(store.commit(&put("a")).await, Err(Error::Unknown(_))));
            assert_eq!(store.inner().len(), applied, "{}", store.plan());
        }
    }
}
