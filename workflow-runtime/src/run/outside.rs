//! What others see of an instance without waking it: published values, and the answers to updates. Both ride along with
//! the instance's batches.
//!
//! Invariant: an answer is not durable before the removal of the update that it answers, so no update is answered twice.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::Run;
use crate::halt::Halt;
use crate::record::{self, Reply, UpdateRecord};
use crate::store::{Batch, Write};

/// What an instance has to tell, until it is in the store.
#[derive(Debug, Default)]
pub(crate) struct Outbox(Mutex<Contents>);

#[derive(Debug, Default)]
struct Contents {
    /// The values published in this life of the instance, and whether the store has them.
    published: BTreeMap<String, (Bytes, bool)>,
    answers: Vec<Answer>,
    /// A value that cannot be encoded: what it is, and why.
    failed: Option<(String, String)>,
}

/// The answer to an update.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) update: &'static str,
    pub(crate) request: String,
    pub(crate) message: Option<Bytes>,
    pub(crate) reply: Reply,
}

thread_local! {
    static STORING: Cell<bool> = const { Cell::new(false) };
    static RESTORING: RefCell<Option<Arc<Outbox>>> = const { RefCell::new(None) };
}

impl Outbox {
    fn lock(&self) -> MutexGuard<'_, Contents> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Publishes a value; one that is as it was is not written again.
    pub(crate) fn publish(&self, name: &str, encoded: Bytes) {
        let mut contents = self.lock();
        match contents.published.get_mut(name) {
            Some((before, _)) if *before == encoded => {}
            Some(published) => *published = (encoded, false),
            None => {
                contents.published.insert(name.to_owned(), (encoded, false));
            }
        }
    }

    pub(crate) fn answer(&self, answer: Answer) {
        self.lock().answers.push(answer);
    }

    /// Notes that a value cannot be encoded.
    pub(crate) fn fail(&self, what: &str, error: &str) {
        self.lock()
            .failed
            .get_or_insert_with(|| (what.to_owned(), error.to_owned()));
    }

    /// What cannot be told blocks the instance.
    pub(crate) fn check(&self) -> Result<(), Halt> {
        match self.lock().failed.take() {
            Some((variable, error)) => Err(Halt::Unencodable { variable, error }),
            None => Ok(()),
        }
    }

    /// Forgets the answers to updates that are to be received again.
    pub(super) fn forget(&self, given_back: &[Bytes]) {
        let answers = |answer: &Answer| {
            answer
                .message
                .as_ref()
                .is_none_or(|key| !given_back.contains(key))
        };
        self.lock().answers.retain(answers);
    }

    /// Encodes a value that the instance keeps: a responder among it is at home.
    pub(crate) fn storing<T>(encode: impl FnOnce() -> T) -> T {
        let before = STORING.replace(true);
        let encoded = encode();
        STORING.set(before);
        encoded
    }

    pub(crate) fn is_storing() -> bool {
        STORING.get()
    }

    /// Decodes a value that the instance has kept: a responder among it answers through this outbox.
    pub(crate) fn restore<T>(self: &Arc<Self>, decode: impl FnOnce() -> T) -> T {
        let before = RESTORING.replace(Some(self.clone()));
        let decoded = decode();
        RESTORING.set(before);
        decoded
    }

    pub(crate) fn restoring() -> Option<Arc<Self>> {
        RESTORING.with_borrow(Clone::clone)
    }
}

/// What a batch tells besides its own writes, which come first. Dropped before the batch is durable, it is told by the
/// next one; whether the batch came through after all does not matter, as the same is told.
pub(super) struct Told {
    outbox: Arc<Outbox>,
    own_writes: usize,
    published: Vec<String>,
    answers: Vec<Answer>,
    /// The records of the answers.
    replies: Vec<(Bytes, UpdateRecord)>,
}

impl Drop for Told {
    fn drop(&mut self) {
        if self.published.is_empty() && self.answers.is_empty() {
            return;
        }
        let mut contents = self.outbox.lock();
        for name in &self.published {
            if let Some((_, stored)) = contents.published.get_mut(name) {
                *stored = false;
            }
        }
        contents.answers.splice(0..0, self.answers.drain(..));
    }
}

impl Run {
    /// Adds what is to be told to a batch.
    pub(super) fn tell_outside(&self, batch: &mut Batch) -> Told {
        let outbox = self.shared.outbox.clone();
        let mut told = Told {
            outbox: outbox.clone(),
            own_writes: batch.writes.len(),
            published: Vec::new(),
            answers: Vec::new(),
            replies: Vec::new(),
        };
        let mut contents = outbox.lock();
        for (name, (encoded, stored)) in &mut contents.published {
            if !*stored {
                *stored = true;
                let key = self.core.keys.published(&self.id, name);
                batch.writes.push(Write::Put(key, encoded.clone()));
                told.published.push(name.to_owned());
            }
        }
        if contents.answers.is_empty() {
            return told;
        }
        let removed = self.taken_in(batch);
        let is_ready = |answer: &mut Answer| {
            let removed = |key: &Bytes| removed.contains(key) || !self.is_taken(key);
            answer.message.as_ref().is_none_or(removed)
        };
        told.answers = contents.answers.extract_if(.., is_ready).collect();
        for answer in &told.answers {
            let key = self.core.keys.update(&self.id, self.token, &answer.request);
            let record = UpdateRecord {
                update: answer.update.to_owned(),
                reply: Some(answer.reply.clone()),
            };
            batch
                .writes
                .push(Write::Put(key.clone(), record::encode(&record)));
            told.replies.push((key, record));
        }
        told
    }

    /// The batch is durable: whoever waits for a reply gets it.
    pub(super) fn was_told(&self, mut told: Told) {
        told.published.clear();
        told.answers.clear();
        for (key, record) in told.replies.drain(..) {
            self.core.announce_reply(&key, &record);
        }
    }

    /// The batch was refused: what it was to tell is told by the next one.
    pub(super) fn take_back(told: &Told, batch: &mut Batch) {
        batch.writes.truncate(told.own_writes);
    }
}
