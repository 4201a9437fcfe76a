//! Carries out the schedule: a task for each transaction, smaller ones after a conflict, an answer for each batch.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::oneshot;

use super::client::{Client, Patience};
use super::layout::Layout;
use super::schedule::{Job, Schedule};
use super::transaction::{Attempt, Undecided, attempt};
use crate::store::{Batch, Error, Verdict};

type Answer = oneshot::Sender<Result<Verdict, Error>>;

/// Whoever waits for a verdict, and for how long.
struct Caller {
    answer: Answer,
    patience: Patience,
}

pub(super) struct Writer {
    client: Arc<Client>,
    layout: Layout,
    schedule: Mutex<Schedule<Caller>>,
    /// Transactions that may still take effect.
    undecided: tokio::sync::Mutex<Vec<Undecided>>,
    /// How many of them there are, to be seen without the lock.
    doubts: AtomicUsize,
}

impl Writer {
    pub(super) fn new(client: Arc<Client>, layout: Layout) -> Self {
        Writer {
            client,
            layout,
            schedule: Mutex::default(),
            undecided: tokio::sync::Mutex::default(),
            doubts: AtomicUsize::new(0),
        }
    }

    fn schedule(&self) -> MutexGuard<'_, Schedule<Caller>> {
        // Nothing panics while it holds the lock.
        self.schedule.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Commits batches of one caller. Each may end in another transaction; the result is an error if one of them has no
    /// verdict.
    pub(super) async fn commit(self: &Arc<Self>, group: &[Batch]) -> Result<Vec<Verdict>, Error> {
        let mut verdicts = Vec::with_capacity(group.len());
        let mut failure = None;
        let mut is_applied = false;
        for answer in self.enqueue(group) {
            let dropped = || Err(Error::Unknown("the task of a transaction was dropped".to_owned()));
            match answer.await.unwrap_or_else(|_| dropped()) {
                Ok(verdict) => {
                    is_applied |= verdict == Verdict::Applied;
                    verdicts.push(verdict);
                }
                Err(error @ Error::Unknown(_)) => failure = Some(error),
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        match failure {
            None => Ok(verdicts),
            // An error of another kind would say that nothing is applied.
            Some(error) if is_applied && !matches!(error, Error::Unknown(_)) => Err(Error::Unknown(format!(
                "a part of the group is applied, another is not: {error}"
            ))),
            Some(error) => Err(error),
        }
    }

    fn enqueue(self: &Arc<Self>, group: &[Batch]) -> Vec<oneshot::Receiver<Result<Verdict, Error>>> {
        let mut answers = Vec::with_capacity(group.len());
        let mut may_begin = false;
        let mut schedule = self.schedule();
        for batch in group {
            let (answer, answered) = oneshot::channel();
            let caller = Caller {
                answer,
                patience: self.client.patience(),
            };
            may_begin |= schedule.push(Job::new(batch.clone(), caller, self.layout.entry_bytes()));
            answers.push(answered);
        }
        if may_begin {
            self.start(&mut schedule);
        }
        answers
    }

    /// Starts what can start. A transaction goes on when its callers go away.
    fn start(self: &Arc<Self>, schedule: &mut Schedule<Caller>) {
        for jobs in schedule.begin() {
            tokio::spawn(self.clone().run(jobs));
        }
    }

    async fn run(self: Arc<Self>, jobs: Vec<Job<Caller>>) {
        let keys = jobs.iter().flat_map(|job| job.keys()).cloned().collect();
        let mut running = Running {
            writer: &self,
            keys,
            losers: Vec::new(),
        };
        running.losers = self.transact(jobs).await;
    }

    /// Commits jobs together; after a conflict in two halves, and so on. Gives back the jobs that lost alone: others on
    /// the same fence go on, and these join them.
    async fn transact(&self, jobs: Vec<Job<Caller>>) -> Vec<Job<Caller>> {
        let mut patience = self.client.patience();
        let mut losers = Vec::<Job<Caller>>::new();
        let mut parts = vec![jobs];
        let mut one_phase = true;
        while let Some(part) = parts.pop() {
            let mut part = withdraw_dependents(part, &mut losers);
            if part.is_empty() {
                continue;
            }
            let batches: Vec<_> = part.iter().map(|job| &job.batch).collect();
            let result = match self.settle(&mut patience).await {
                Ok(()) => attempt(&self.client, &self.layout, &batches, &mut patience, one_phase).await,
                Err(error) => Attempt::Failed(error),
            };
            match result {
                Attempt::Done(verdicts) => {
                    patience.calm();
                    for (job, verdict) in part.into_iter().zip(verdicts) {
                        respond(job, Ok(verdict));
                    }
                }
                Attempt::Conflict | Attempt::TooLarge(_) if part.len() > 1 => {
                    // The order stays: later batches may rest on earlier ones.
                    let later = part.split_off(part.len() / 2);
                    parts.extend([later, part]);
                }
                Attempt::Conflict => losers.extend(part),
                Attempt::NotOnePhase => {
                    one_phase = false;
                    parts.push(part);
                }
                // Of the limit it is known only that this is above it.
                Attempt::TooLarge(size) => {
                    let limit = size.saturating_sub(1);
                    respond_all(part, &Error::TooLarge { size, limit });
                }
                Attempt::Failed(Error::Unavailable(_)) if patience.pause().await => parts.push(part),
                Attempt::Failed(error) => respond_all(part, &error),
                Attempt::Undecided(undecided) => {
                    let error = Error::Unknown(undecided.error.clone());
                    self.doubts.fetch_add(1, Ordering::SeqCst);
                    self.undecided.lock().await.push(*undecided);
                    respond_all(part, &error);
                }
            }
        }
        // They lose less often when they come back a little later, and not all at once.
        let mut again = Vec::with_capacity(losers.len());
        let mut waits = true;
        for mut job in losers {
            if job.caller.patience.left().is_zero() {
                respond(
                    job,
                    Err(Error::Unavailable(
                        "other transactions write the same keys all the time, this one never gets through"
                            .to_owned(),
                    )),
                );
            } else {
                if std::mem::take(&mut waits) {
                    job.caller.patience.pause().await;
                }
                again.push(job);
            }
        }
        again
    }

    /// Fixes the outcome of the transactions in doubt. What is read or committed afterwards sees them applied or not,
    /// for ever.
    pub(super) async fn settle(&self, patience: &mut Patience) -> Result<(), Error> {
        if self.doubts.load(Ordering::SeqCst) == 0 {
            return Ok(());
        }
        let mut undecided = self.undecided.lock().await;
        while let Some(next) = undecided.last_mut() {
            next.foreclose(&self.client, patience).await?;
            undecided.pop();
            self.doubts.fetch_sub(1, Ordering::SeqCst);
        }
        Ok(())
    }
}

/// Moves the jobs that rest on what a loser touches behind the losers.
fn withdraw_dependents(part: Vec<Job<Caller>>, losers: &mut Vec<Job<Caller>>) -> Vec<Job<Caller>> {
    let mut left = Vec::with_capacity(part.len());
    for job in part {
        if losers.iter().any(|loser| job.depends_on(loser)) {
            losers.push(job);
        } else {
            left.push(job);
        }
    }
    left
}

/// Frees the keys of a transaction when its task ends, in whichever way.
struct Running<'a> {
    writer: &'a Arc<Writer>,
    keys: Vec<Bytes>,
    losers: Vec<Job<Caller>>,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let mut schedule = self.writer.schedule();
        schedule.end(&self.keys);
        schedule.push_back_to_head(std::mem::take(&mut self.losers));
        if tokio::runtime::Handle::try_current().is_ok() {
            self.writer.start(&mut schedule);
        }
    }
}

fn respond(job: Job<Caller>, result: Result<Verdict, Error>) {
    // A caller that went away does not need its answer.
    let _ = job.caller.answer.send(result);
}

fn respond_all(jobs: Vec<Job<Caller>>, error: &Error) {
    for job in jobs {
        respond(job, Err(error.clone()));
    }
}
