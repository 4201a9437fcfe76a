//! Group commit: every batch that is ready when the store is free goes into one store transaction.
//!
//! A store that blocks its caller is driven by a thread of its own; any other one by tasks, several commits in flight as
//! the store's profile says. Batches of one line of an instance never overlap, because it waits for each; those of its
//! branches that come up in one poll of the instance are handed over together, so that they are in one group.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::store::{Batch, CommitProfile, Error, Store, Verdict, Write};

/// What became of a batch, and the batch itself, so that it can be tried again.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) result: Result<Verdict, Error>,
    pub(crate) batch: Batch,
}

#[derive(Debug)]
struct Request {
    batch: Batch,
    answer: Responder,
}

/// Answers a request. It counts as in flight until then, also when its caller went away: a later batch of the same
/// instance must not overtake it.
#[derive(Debug)]
struct Responder {
    sender: oneshot::Sender<Answer>,
    _in_flight: InFlight,
}

impl Responder {
    fn new(in_flight: InFlight) -> (Self, oneshot::Receiver<Answer>) {
        let (sender, answered) = oneshot::channel();
        let responder = Responder {
            sender,
            _in_flight: in_flight,
        };
        (responder, answered)
    }
}

/// Requests that are handed over together.
struct Requests {
    first: Request,
    more: Vec<Request>,
}

/// Batches of an instance's branches, until the poll in which they came up has ended.
#[derive(Debug, Default)]
pub(crate) struct Gathered(Mutex<Vec<Request>>);

impl Gathered {
    fn push(&self, request: Request) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(request);
    }

    fn take(&self) -> Vec<Request> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Commits batches in groups.
#[derive(Debug)]
pub(crate) struct Committer {
    store: Arc<dyn Store>,
    profile: CommitProfile,
    sender: mpsc::UnboundedSender<Requests>,
    /// Instances that run: with a single one there is nothing to group.
    running: AtomicUsize,
    /// Commits that were asked for and not answered.
    in_flight: Arc<AtomicUsize>,
    groups: Arc<AtomicU64>,
}

impl Committer {
    pub(crate) fn new(store: Arc<dyn Store>) -> std::io::Result<Self> {
        let (sender, receiver) = mpsc::unbounded_channel();
        let profile = store.profile();
        let groups = Arc::<AtomicU64>::default();
        if profile.blocking {
            let (store, groups) = (store.clone(), groups.clone());
            std::thread::Builder::new()
                .name("workflow-commit".to_owned())
                .spawn(move || on_thread(store.as_ref(), receiver, profile, &groups))?;
        } else {
            tokio::spawn(in_tasks(store.clone(), receiver, profile, groups.clone()));
        }
        Ok(Committer {
            store,
            profile,
            sender,
            running: AtomicUsize::new(0),
            in_flight: Arc::default(),
            groups,
        })
    }

    /// Commits one batch, together with others. An unknown outcome is resolved by reading before it is answered.
    pub(crate) async fn commit(&self, batch: Batch) -> Answer {
        let others = self.in_flight.fetch_add(1, Ordering::Relaxed);
        let in_flight = InFlight(self.in_flight.clone());
        if self.profile.blocking && others == 0 && self.running.load(Ordering::Relaxed) <= 1 {
            // Nothing to share a sync with: the way over another thread would only add to the latency.
            self.groups.fetch_add(1, Ordering::Relaxed);
            let mut answers = commit_group(self.store.as_ref(), vec![batch]).await;
            return answers
                .pop()
                .unwrap_or_else(|| unreachable!("one batch, one answer"));
        }
        let (answer, answered) = Responder::new(in_flight);
        self.send(Requests {
            first: Request { batch, answer },
            more: Vec::new(),
        });
        answered.await.unwrap_or_else(|_| ended(Batch::default()))
    }

    /// Commits a batch of a branch: with those of the other branches, when [`hand_over`](Committer::hand_over) is called.
    pub(crate) async fn commit_gathered(&self, gathered: &Gathered, batch: Batch) -> Answer {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        let (answer, answered) = Responder::new(InFlight(self.in_flight.clone()));
        gathered.push(Request { batch, answer });
        answered.await.unwrap_or_else(|_| ended(Batch::default()))
    }

    /// Hands over the batches that have come up, to be committed in one group.
    pub(crate) fn hand_over(&self, gathered: &Gathered) {
        let mut requests = gathered.take().into_iter();
        if let Some(first) = requests.next() {
            let more = requests.collect();
            self.send(Requests { first, more });
        }
    }

    fn send(&self, requests: Requests) {
        if let Err(mpsc::error::SendError(requests)) = self.sender.send(requests) {
            for Request { batch, answer } in std::iter::once(requests.first).chain(requests.more) {
                let _ = answer.sender.send(ended(batch));
            }
        }
    }

    /// Whether a batch whose outcome was unknown turns out to be applied.
    pub(crate) async fn is_applied(&self, batch: &Batch) -> bool {
        let Some((key, value)) = proof(batch) else {
            return false;
        };
        let found = self.store.get(std::slice::from_ref(key)).await;
        found.is_ok_and(|found| found.first().and_then(Option::as_ref) == Some(value))
    }

    pub(crate) fn instance_begins(&self) {
        self.running.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn instance_ends(&self) {
        self.running.fetch_sub(1, Ordering::Relaxed);
    }

    /// How many groups were committed.
    pub(crate) fn groups(&self) -> u64 {
        self.groups.load(Ordering::Relaxed)
    }
}

fn ended(batch: Batch) -> Answer {
    Answer {
        result: Err(Error::Unavailable("the committer has ended".to_owned())),
        batch,
    }
}

/// A commit that is not answered yet.
#[derive(Debug)]
struct InFlight(Arc<AtomicUsize>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn on_thread(
    store: &dyn Store,
    mut receiver: mpsc::UnboundedReceiver<Requests>,
    profile: CommitProfile,
    groups: &AtomicU64,
) {
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
    {
        Ok(runtime) => runtime,
        // Requests fail one by one: the receiver is dropped.
        Err(_) => return,
    };
    let mut queue = VecDeque::new();
    while let Some(first) = queue
        .pop_front()
        .or_else(|| receive(receiver.blocking_recv(), &mut queue))
    {
        let (batches, answers) = drain(first, &mut queue, &mut receiver, profile);
        groups.fetch_add(1, Ordering::Relaxed);
        respond(runtime.block_on(commit_group(store, batches)), answers);
    }
}

async fn in_tasks(
    store: Arc<dyn Store>,
    mut receiver: mpsc::UnboundedReceiver<Requests>,
    profile: CommitProfile,
    groups: Arc<AtomicU64>,
) {
    let slots = Arc::new(Semaphore::new(profile.in_flight.max(1)));
    let mut queue = VecDeque::new();
    loop {
        let first = match queue.pop_front() {
            Some(first) => Some(first),
            None => receive(receiver.recv().await, &mut queue),
        };
        let Some(first) = first else { return };
        let Ok(slot) = slots.clone().acquire_owned().await else {
            return;
        };
        let (batches, answers) = drain(first, &mut queue, &mut receiver, profile);
        groups.fetch_add(1, Ordering::Relaxed);
        if profile.in_flight <= 1 {
            respond(commit_group(store.as_ref(), batches).await, answers);
            continue;
        }
        let store = store.clone();
        tokio::spawn(async move {
            respond(commit_group(store.as_ref(), batches).await, answers);
            drop(slot);
        });
    }
}

/// The first of the requests; the others are queued.
fn receive(requests: Option<Requests>, queue: &mut VecDeque<Request>) -> Option<Request> {
    let Requests { first, more } = requests?;
    queue.extend(more);
    Some(first)
}

/// A group: what is queued, then what has come meanwhile. What does not fit stays queued.
fn drain(
    first: Request,
    queue: &mut VecDeque<Request>,
    receiver: &mut mpsc::UnboundedReceiver<Requests>,
    profile: CommitProfile,
) -> (Vec<Batch>, Vec<Responder>) {
    let mut bytes = size(&first.batch);
    let (mut batches, mut answers) = (vec![first.batch], vec![first.answer]);
    while bytes < profile.group_bytes {
        let next = queue
            .pop_front()
            .or_else(|| receive(receiver.try_recv().ok(), queue));
        let Some(next) = next else { break };
        bytes += size(&next.batch);
        batches.push(next.batch);
        answers.push(next.answer);
    }
    (batches, answers)
}

fn size(batch: &Batch) -> usize {
    batch
        .writes
        .iter()
        .map(|write| match write {
            Write::Put(key, value) => key.len() + value.len(),
            Write::Delete(key) => key.len(),
        })
        .sum()
}

fn respond(results: Vec<Answer>, answers: Vec<Responder>) {
    for (result, answer) in results.into_iter().zip(answers) {
        // A caller that went away does not need its answer.
        let _ = answer.sender.send(result);
    }
}

/// Commits a group and gives one answer per batch.
async fn commit_group(store: &dyn Store, group: Vec<Batch>) -> Vec<Answer> {
    match store.commit(&group).await {
        Ok(verdicts) => verdicts
            .into_iter()
            .zip(group)
            .map(|(verdict, batch)| Answer {
                result: Ok(verdict),
                batch,
            })
            .collect(),
        Err(Error::Unknown(_)) => {
            let mut answers = Vec::with_capacity(group.len());
            for batch in group {
                answers.push(Answer {
                    result: resolve(store, &batch).await,
                    batch,
                });
            }
            answers
        }
        Err(error) => group
            .into_iter()
            .map(|batch| Answer {
                result: Err(error.clone()),
                batch,
            })
            .collect(),
    }
}

/// How often an unknown outcome is looked into before the caller is told that it is unknown.
const LOOKS: u32 = 8;

/// What tells that a batch was applied: its first `Put` has a value that no other batch writes (a step's number, a
/// start's token, a message's key), and nobody overwrites it before the batch is answered.
fn proof(batch: &Batch) -> Option<(&Bytes, &Bytes)> {
    batch.writes.iter().find_map(|write| match write {
        Write::Put(key, value) => Some((key, value)),
        Write::Delete(_) => None,
    })
}

/// Commits one batch past the committer; an unknown outcome is resolved. The first put of the batch has to have a value
/// that nobody else writes there.
pub(crate) async fn commit_one(store: &dyn Store, batch: &Batch) -> Result<Verdict, Error> {
    match store.commit(std::slice::from_ref(batch)).await {
        Ok(verdicts) => {
            let none = || Error::Unavailable("the store gave no verdict".to_owned());
            verdicts.first().copied().ok_or_else(none)
        }
        Err(Error::Unknown(_)) => resolve(store, batch).await,
        Err(error) => Err(error),
    }
}

/// As [`commit_one`], for several batches in one group.
pub(crate) async fn commit_each(store: &dyn Store, group: Vec<Batch>) -> Vec<Result<Verdict, Error>> {
    let answers = commit_group(store, group).await;
    answers.into_iter().map(|answer| answer.result).collect()
}

/// Finds out whether a batch of unknown outcome was applied, and applies it if it was not.
async fn resolve(store: &dyn Store, batch: &Batch) -> Result<Verdict, Error> {
    let mut last = Error::Unknown("the outcome was not looked into".to_owned());
    for look in 0..LOOKS {
        if look > 0 {
            tokio::time::sleep(Duration::from_millis(1 << look)).await;
        }
        if let Some((key, value)) = proof(batch) {
            match store.get(std::slice::from_ref(key)).await {
                Ok(found) if found.first().and_then(Option::as_ref) == Some(value) => {
                    return Ok(Verdict::Applied);
                }
                Ok(_) => {}
                Err(error) => {
                    last = Error::Unknown(format!(
                        "the commit was not answered, and the store cannot be read: {error}"
                    ));
                    continue;
                }
            }
        }
        // It was not applied: commit it again, alone.
        match store.commit(std::slice::from_ref(batch)).await {
            Ok(verdicts) => {
                let none = || Error::Unavailable("the store gave no verdict".to_owned());
                return verdicts.first().copied().ok_or_else(none);
            }
            Err(error @ Error::Unknown(_)) => last = error,
            Err(error) => return Err(error),
        }
    }
    Err(last)
}
