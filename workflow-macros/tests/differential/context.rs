//! Keeps every checkpoint of a run.

use std::collections::BTreeMap;
use std::future::Future;
use std::marker::PhantomData;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use workflow_model::codec;

use crate::halt::Halt;
use crate::runtime::{Operation, log_length};

pub const DESCRIBE: usize = usize::MAX;

/// An operation that is ready to run.
pub struct Prepared<O> {
    encoded: Vec<u8>,
    operation: PhantomData<fn() -> O>,
}

/// What is stored at a point.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    pub point: usize,
    pub variables: BTreeMap<String, Bytes>,
    pub operation: Vec<u8>,
    /// How many effects had happened.
    pub effects: usize,
}

#[derive(Default)]
pub struct WorkflowContext {
    resume: Option<Checkpoint>,
    describing: bool,
    /// Points that were described.
    pub described: usize,
    pub checkpoints: Vec<Checkpoint>,
    constants: BTreeMap<u32, Bytes>,
    pub halted: Option<Halt>,
}

impl WorkflowContext {
    pub fn resuming(checkpoint: Checkpoint) -> Self {
        WorkflowContext {
            resume: Some(checkpoint),
            ..Self::default()
        }
    }

    pub fn describing() -> Self {
        WorkflowContext {
            describing: true,
            ..Self::default()
        }
    }

    pub fn entry(&mut self, points: &'static [&'static str]) -> usize {
        match &self.resume {
            _ if self.describing => DESCRIBE,
            Some(checkpoint) => {
                assert!(checkpoint.point < points.len());
                checkpoint.point + 1
            }
            None => 0,
        }
    }

    pub fn prepare<O: Operation>(&mut self, operation: O) -> Prepared<O> {
        Prepared {
            encoded: operation.into_encoded(),
            operation: PhantomData,
        }
    }

    pub fn restore_operation<O: Operation>(&mut self) -> Result<Prepared<O>, Halt> {
        let checkpoint = self.resume.as_ref().ok_or(Halt::NoSuchPoint)?;
        Ok(Prepared {
            encoded: checkpoint.operation.clone(),
            operation: PhantomData,
        })
    }

    pub fn checkpoint<O>(&mut self, point: usize, operation: &Prepared<O>) -> Option<Saver<'_>> {
        if self.resume.take().is_some() {
            return None;
        }
        self.checkpoints.push(Checkpoint {
            point,
            variables: BTreeMap::new(),
            operation: operation.encoded.clone(),
            effects: log_length(),
        });
        Some(Saver { context: self })
    }

    pub fn perform<O: Operation>(
        &mut self,
        prepared: Prepared<O>,
    ) -> impl Future<Output = O::Output> + Send + use<O> {
        O::perform(prepared.encoded)
    }

    pub fn rebind(&mut self, slot: u32) {
        self.constants.remove(&slot);
    }

    pub fn restore<T: DeserializeOwned>(&mut self, name: &str) -> Result<T, Halt> {
        codec::decode(&self.restore_encoded(name)?)
            .map_err(|error| Halt::Undecodable(format!("{name}: {error}")))
    }

    pub fn restore_encoded(&mut self, name: &str) -> Result<Bytes, Halt> {
        let checkpoint = self.resume.as_ref().ok_or(Halt::NoSuchPoint)?;
        checkpoint
            .variables
            .get(name)
            .cloned()
            .ok_or_else(|| Halt::Undecodable(format!("{name} is missing")))
    }

    pub async fn halt<T>(&mut self, halt: Halt) -> T {
        self.halted = Some(halt);
        std::future::pending().await
    }
}

/// Receives the variables of a checkpoint.
pub struct Saver<'a> {
    context: &'a mut WorkflowContext,
}

impl Saver<'_> {
    pub fn variable<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) {
        self.put(name, Bytes::from(codec::encode(value).expect("encodes")));
    }

    /// Encodes the value each time, to prove that it is the same.
    pub fn constant<T: Serialize + ?Sized>(&mut self, name: &str, slot: u32, value: &T) {
        self.constant_encoded(name, slot, &Bytes::from(codec::encode(value).expect("encodes")));
    }

    pub fn constant_encoded(&mut self, name: &str, slot: u32, encoded: &Bytes) {
        let known = self
            .context
            .constants
            .entry(slot)
            .or_insert_with(|| encoded.clone());
        assert_eq!(known, encoded, "the constant {name} has changed");
        self.put(name, encoded.clone());
    }

    pub fn fail(&mut self, name: &str, error: &str) {
        panic!("{name}: {error}");
    }

    fn put(&mut self, name: &str, encoded: Bytes) {
        let checkpoint = self
            .context
            .checkpoints
            .last_mut()
            .expect("a checkpoint is being written");
        let before = checkpoint.variables.insert(name.to_owned(), encoded);
        assert!(before.is_none(), "{name} is saved twice");
    }
}
