//! Messages: read when the instance is told of them, taken by one line each, removed with that line's next batch.

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
                        let taken = &shared.taken;
                        let unread = |message: &Message| taken.iter().all(|(key, _)| *key != message.key);
                        let messages = messages.into_iter().filter(unread).collect();
                        shared.messages = messages;
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
        self.shared
            .lock()
            .messages
            .iter()
            .any(|message| message.signal == signal)
    }

    /// Takes the first message with this name; this line's next batch removes its record.
    pub(super) fn take_message(&mut self, signal: &str) -> Option<Message> {
        let mut shared = self.shared.lock();
        let index = shared
            .messages
            .iter()
            .position(|message| message.signal == signal)?;
        let message = shared.messages.remove(index);
        shared.taken.push((message.key.clone(), self.scope.clone()));
        self.obsolete.push(message.key.clone());
        Some(message)
    }

    /// A taken message stays in the store after all.
    pub(crate) fn put_back(&mut self, message: &Message) {
        self.obsolete.retain(|key| *key != message.key);
        self.shared.lock().taken.retain(|(key, _)| *key != message.key);
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
        self.shared.lock().taken.iter().any(|(taken, _)| taken == key)
    }

    /// The taken messages that a batch removes.
    pub(super) fn taken_in(&self, batch: &Batch) -> Vec<Bytes> {
        let shared = self.shared.lock();
        if shared.taken.is_empty() {
            return Vec::new();
        }
        let removes = |key: &Bytes| {
            batch
                .writes
                .iter()
                .any(|write| matches!(write, Write::Delete(other) if other == key))
        };
        shared
            .taken
            .iter()
            .map(|(key, _)| key.clone())
            .filter(removes)
            .collect()
    }

    pub(crate) fn forget_taken(&self, removed: &[Bytes]) {
        if removed.is_empty() {
            return;
        }
        let mut shared = self.shared.lock();
        shared.taken.retain(|(key, _)| !removed.contains(key));
        shared.removals += 1;
    }

    /// Lines within `scope` were dropped: what they took and did not remove is to be read again.
    pub(crate) fn give_back(&self, scope: &Scope) {
        let mut shared = self.shared.lock();
        let given_back: Vec<Bytes> = shared
            .taken
            .extract_if(.., |(_, taker)| taker.is_within(scope))
            .map(|(key, _)| key)
            .collect();
        if !given_back.is_empty() {
            drop(shared);
            self.shared.outbox.forget(&given_back);
            self.hot.tell();
        }
    }
}
