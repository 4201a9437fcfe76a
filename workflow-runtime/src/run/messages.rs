//! Messages: read when the instance is told of them, taken by one line each, removed with that line's next batch.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use super::waiting::Wait;
use super::{Run, Scope};
use crate::engine::core::Message;
use crate::halt::Halt;
use crate::store::{self, Batch, Write};

impl Run {
    /// Reads the messages if there may be new ones.
    pub(crate) async fn look_at_messages(&mut self) -> Result<(), Halt> {
        if self.shared.lock().read_at >= self.hot.told() {
            return Ok(());
        }
        let shared = self.shared.clone();
        let _reading = shared.reading.lock().await;
        let mut failures = 0;
        loop {
            let told = self.hot.told();
            let removals = {
                let shared = self.shared.lock();
                if shared.read_at >= told {
                    return Ok(());
                }
                shared.removals
            };
            // The ready record first: one that is known then stands for messages that are read here.
            let read = match self.core.read_one(&self.ready_key).await {
                Ok(ready) => self
                    .core
                    .read_messages(&self.id)
                    .await
                    .map(|messages| (messages, ready)),
                Err(error) => Err(error),
            };
            match read {
                Ok((messages, ready)) => {
                    let mut shared = self.shared.lock();
                    // What was read before a message was removed may still hold it.
                    if shared.removals == removals && shared.read_at < told {
                        let mut unread: BTreeMap<String, VecDeque<Message>> = BTreeMap::new();
                        for message in messages {
                            if shared.taken.contains_key(&message.key) {
                                continue;
                            }
                            match unread.get_mut(&message.signal) {
                                Some(same) => same.push_back(message),
                                None => {
                                    unread.insert(message.signal.clone(), VecDeque::from([message]));
                                }
                            }
                        }
                        shared.messages = unread;
                        if let Some(ready) = &ready {
                            self.hot.note_ready(ready);
                        }
                        shared.ready = ready;
                        shared.read_at = told;
                        self.hot.note_read(told);
                    }
                }
                Err(error @ store::Error::Corrupt(_)) => return Err(Halt::Store(error)),
                Err(_) => {
                    failures += 1;
                    self.hot.lease.gate.wait_for_store(failures).await?;
                }
            }
        }
    }

    pub(crate) fn has_message(&self, signal: &str) -> bool {
        self.shared.lock().messages.contains_key(signal)
    }

    /// Takes the first message with this name; this line's next batch removes its record.
    pub(super) fn take_message(&mut self, signal: &str) -> Option<Message> {
        let mut shared = self.shared.lock();
        let same = shared.messages.get_mut(signal)?;
        let message = same.pop_front()?;
        if same.is_empty() {
            shared.messages.remove(signal);
        }
        shared.taken.insert(message.key.clone(), self.scope.clone());
        self.obsolete.push(message.key.clone());
        Some(message)
    }

    /// A taken message stays in the store after all.
    pub(crate) fn put_back(&mut self, message: &Message) {
        self.obsolete.retain(|key| *key != message.key);
        self.shared.lock().taken.remove(&message.key);
        self.hot.tell();
    }

    /// Waits for a message and takes it.
    pub(crate) async fn next_message(&mut self, signal: &str) -> Result<Message, Halt> {
        loop {
            let told = self.hot.told();
            self.look_at_messages().await?;
            if let Some(message) = self.take_message(signal) {
                return Ok(message);
            }
            self.wait(Wait::Message { told }).await?;
        }
    }

    /// Whether a message was received and its record is not removed yet.
    pub(super) fn is_taken(&self, key: &Bytes) -> bool {
        self.shared.lock().taken.contains_key(key)
    }

    /// The taken messages that a batch removes.
    pub(super) fn taken_in(&self, batch: &Batch) -> Vec<Bytes> {
        let shared = self.shared.lock();
        if shared.taken.is_empty() {
            return Vec::new();
        }
        let deletes = batch.writes.iter().filter_map(|write| match write {
            Write::Delete(key) => Some(key),
            Write::Put(..) => None,
        });
        deletes
            .filter(|key| shared.taken.contains_key(*key))
            .cloned()
            .collect()
    }

    pub(crate) fn forget_taken(&self, removed: &[Bytes]) {
        if removed.is_empty() {
            return;
        }
        let mut shared = self.shared.lock();
        for key in removed {
            shared.taken.remove(key);
        }
        shared.removals += 1;
    }

    /// Lines within `scope` were dropped: what they took and did not remove is to be read again.
    pub(crate) fn give_back(&self, scope: &Scope) {
        let mut shared = self.shared.lock();
        let of_them = |(_, taker): &(&Bytes, &Scope)| taker.is_within(scope);
        let taken = shared.taken.iter().filter(of_them);
        let given_back: Vec<Bytes> = taken.map(|(key, _)| key.clone()).collect();
        for key in &given_back {
            shared.taken.remove(key);
        }
        if !given_back.is_empty() {
            drop(shared);
            self.shared.outbox.forget(&given_back);
            self.hot.tell();
        }
    }
}
