//! Runs instances: loads them, drives their code, writes how they end.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use workflow_model::{BlockedReason, InstanceId, codec};

use super::core::{Core, Message, decode};
use super::hot::Hot;
use crate::attempt::panic_message;
use crate::context::{Run, WorkflowContext};
use crate::halt::{Halt, HaltSlot};
use crate::keys::{Keys, Kind};
use crate::operation;
use crate::record::{self, AttemptsRecord, End, InstanceRecord, OutcomeRecord, StateRecord};
use crate::store::{Batch, Error, Write};
use crate::workflow::Workflow;

/// How the code of an instance stopped.
pub(crate) enum Ended {
    /// It returned or is blocked; the outcome is durable.
    Closed(OutcomeRecord),
    /// It stops here and may continue later.
    Left(Halt),
}

/// Drives the code of a workflow until it ends or has to stop, and writes the outcome.
pub(crate) async fn run_machine<W: Workflow>(input: Option<W>, mut context: WorkflowContext) -> Ended {
    let halts = context.halts();
    let result = guarded(W::run(input, &mut context), &halts).await;
    let end = match result {
        Ok(output) => match codec::encode(&output) {
            Ok(encoded) => {
                let end = match W::failure(&output) {
                    None => End::Completed,
                    Some(error) => End::Failed { error },
                };
                Ok((end, Bytes::from(encoded)))
            }
            Err(error) => Err(Halt::Unencodable {
                variable: "the output".to_owned(),
                error: error.to_string(),
            }),
        },
        Err(halt) => Err(halt),
    };
    finish(end, context).await
}

async fn finish(end: Result<(End, Bytes), Halt>, mut context: WorkflowContext) -> Ended {
    let sides = context.side_keys();
    let run = match context.run() {
        Ok(run) => run,
        Err(halt) => return Ended::Left(halt),
    };
    let (end, output) = match end {
        Ok(end) => end,
        Err(halt) => match halt.clone().blocks() {
            Some(reason) if run.starting.is_some() => {
                // It never existed: the caller is told, and nothing is stored.
                if let Some(starting) = run.starting.take() {
                    let _ = starting
                        .reply
                        .send(Err(super::start::StartError::Refused { reason }));
                }
                return Ended::Left(Halt::NotStarted);
            }
            Some(reason) => (End::Blocked { reason }, Bytes::new()),
            None => return Ended::Left(halt),
        },
    };
    let outcome = OutcomeRecord {
        end,
        time_ms: run.core.now_ms(),
        steps: run.step,
        output,
    };
    match run.close(&outcome, sides).await {
        Ok(()) => Ended::Closed(outcome),
        Err(halt) => Ended::Left(halt),
    }
}

/// Polls the machine; a halt or a panic ends it.
async fn guarded<T>(machine: impl Future<Output = T>, halts: &HaltSlot) -> Result<T, Halt> {
    let mut machine = pin!(machine);
    std::future::poll_fn(|polling| {
        match std::panic::catch_unwind(AssertUnwindSafe(|| machine.as_mut().poll(polling))) {
            Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
            Ok(Poll::Pending) => match halts.take() {
                Some(halt) => Poll::Ready(Err(halt)),
                None => Poll::Pending,
            },
            Err(payload) => Poll::Ready(Err(Halt::Panicked {
                message: panic_message(&*payload),
            })),
        }
    })
    .await
}

/// Runs a new instance until it leaves the memory.
pub(crate) fn spawn_new<W: Workflow>(core: &Arc<Core>, id: InstanceId, input: W, context: WorkflowContext) {
    let core = core.clone();
    core.instance_begins();
    tokio::spawn(async move {
        let ended = run_machine(Some(input), context).await;
        settle(&core, &id, ended).await;
        core.instance_ends();
    });
}

/// Loads an instance and runs it, unless it is in memory already.
pub(crate) fn activate(core: &Arc<Core>, id: InstanceId, recovering: bool) {
    if core.check_running().is_err() {
        return;
    }
    let Some(hot) = core.hot.enter(&id, true) else {
        return;
    };
    let core = core.clone();
    core.instance_begins();
    tokio::spawn(async move {
        let mut failures = 0;
        let ended = loop {
            match load(&core, &hot, &id, recovering).await {
                Ok(Loaded::Machine(machine)) => break machine.await,
                Ok(Loaded::Nothing(ended)) => break ended,
                Err(Halt::Store(error)) if !matches!(error, Error::Corrupt(_)) => {
                    failures += 1;
                    if core.wait_for_store(failures).await.is_err() {
                        break Ended::Left(Halt::Shutdown);
                    }
                }
                Err(halt) => break Ended::Left(halt),
            }
        };
        settle(&core, &id, ended).await;
        core.instance_ends();
    });
}

async fn settle(core: &Arc<Core>, id: &InstanceId, ended: Ended) {
    match ended {
        Ended::Closed(outcome) => {
            core.hot.remove(id);
            core.announce(id, &outcome);
        }
        // It left the map itself, when it found that nothing holds it.
        Ended::Left(Halt::Evicted) => {}
        Ended::Left(_) => core.hot.remove(id),
    }
}

enum Loaded {
    Machine(std::pin::Pin<Box<dyn Future<Output = Ended> + Send>>),
    Nothing(Ended),
}

async fn load(core: &Arc<Core>, hot: &Arc<Hot>, id: &InstanceId, recovering: bool) -> Result<Loaded, Halt> {
    core.counters.loaded();
    let keys = &core.keys;
    let wanted = [
        Kind::Instance,
        Kind::Outcome,
        Kind::State,
        Kind::Attempts,
        Kind::Ready,
    ]
    .map(|kind| keys.of(kind, id));
    let found = core.store.get(&wanted).await.map_err(Halt::Store)?;
    let mut found = found.into_iter();
    let mut next = || found.next().flatten();
    let (instance, outcome, state, attempts, ready) = (next(), next(), next(), next(), next());
    let outcome: Option<OutcomeRecord> = outcome
        .map(|value| decode(&wanted[1], &value))
        .transpose()
        .map_err(Halt::Store)?;
    let undecodable = matches!(
        &outcome,
        Some(OutcomeRecord {
            end: End::Blocked {
                reason: BlockedReason::Undecodable { .. }
            },
            ..
        })
    );
    let (Some(instance), true) = (instance, outcome.is_none() || undecodable) else {
        clean_up(core, id, outcome.as_ref()).await;
        return Ok(Loaded::Nothing(Ended::Left(Halt::NotStarted)));
    };
    let instance: InstanceRecord = decode(&wanted[0], &instance).map_err(Halt::Store)?;
    let mut run = Run::new(core.clone(), hot.clone(), id.clone(), instance.token);
    run.ready = ready;
    if undecodable {
        run.obsolete.push(wanted[1].clone());
    }
    // What no code here can run stays as it is, for a program that can.
    let Some(entry) = core.entries.get(instance.workflow.as_str()) else {
        return Err(Halt::NoSuchPoint);
    };
    let state = match state
        .ok_or(Halt::NoInput)
        .and_then(|state| StateRecord::read(state).map_err(|error| Halt::undecodable("the state", error)))
    {
        Ok(state) => state,
        Err(halt) => {
            return Ok(Loaded::Nothing(
                finish(Err(halt), WorkflowContext::starting(run)).await,
            ));
        }
    };
    if !entry.points.contains(&state.point.as_str()) {
        return Err(Halt::NoSuchPoint);
    }
    run.step = state.step;
    let attempts: Option<AttemptsRecord> = attempts
        .map(|value| decode(&wanted[3], &value))
        .transpose()
        .map_err(Halt::Store)?;
    run.attempts = attempts.filter(|attempts| attempts.step == state.step);
    if recovering && operation::is_task(&state.operation) {
        let mut attempts = run.attempts.take().unwrap_or(AttemptsRecord {
            step: state.step,
            ..AttemptsRecord::default()
        });
        attempts.crashes += 1;
        if attempts.crashes > core.poison_limit {
            let reason = Halt::Poisoned {
                point: state.point.clone(),
                crashes: attempts.crashes,
            };
            return Ok(Loaded::Nothing(
                finish(Err(reason), WorkflowContext::starting(run)).await,
            ));
        }
        run.note_crash(attempts).await?;
    }
    let sides = core
        .read_all(keys.numbered_range(Kind::Side, id))
        .await
        .map_err(Halt::Store)?;
    let sides = sides
        .into_iter()
        .filter_map(|(key, value)| Some((Keys::side_of(&key)?, value)))
        .collect();
    match WorkflowContext::resuming(run, &state, sides) {
        Ok(context) => Ok(Loaded::Machine((entry.resume)(context))),
        Err((halt, run)) => Ok(Loaded::Nothing(
            finish(Err(halt), WorkflowContext::starting(*run)).await,
        )),
    }
}

/// Removes what points to an instance that has ended: a message that came at its last moment, a timer.
async fn clean_up(core: &Arc<Core>, id: &InstanceId, outcome: Option<&OutcomeRecord>) {
    let Ok(messages) = core.read_messages(id).await else {
        return;
    };
    let mut batch = Batch {
        conditions: vec![core.fence.clone()],
        writes: Vec::new(),
    };
    batch.writes.push(Write::Delete(core.keys.of(Kind::Ready, id)));
    let blocked = outcome.is_some_and(|outcome| matches!(outcome.end, End::Blocked { .. }));
    if !blocked {
        batch
            .writes
            .extend(messages.into_iter().map(|Message { key, .. }| Write::Delete(key)));
    }
    let _ = core.committer.commit(batch).await;
}

impl Run {
    /// Waits until a time; the wait may end because the instance leaves the memory or the engine ends.
    pub(crate) async fn wait_until(&mut self, due_ms: u64) -> Result<(), Halt> {
        if self.core.now_ms() >= due_ms {
            return Ok(());
        }
        self.begin_wait();
        let result = self.wait(Some(due_ms)).await;
        self.end_wait();
        result
    }

    /// Waits for a message and takes it.
    pub(crate) async fn next_message(&mut self, signal: &str) -> Result<Message, Halt> {
        loop {
            self.look_at_messages().await?;
            if let Some(message) = self.take_message(signal) {
                return Ok(message);
            }
            self.begin_wait();
            let result = self.wait(None).await;
            self.end_wait();
            result?;
        }
    }

    fn begin_wait(&self) {
        self.core.hot.note_waiting(&self.id, &self.hot);
        self.core.committer.instance_ends();
    }

    fn end_wait(&self) {
        self.core.committer.instance_begins();
    }

    /// Waits until a time, or, without one, until there may be a message.
    async fn wait(&self, due_ms: Option<u64>) -> Result<(), Halt> {
        loop {
            let notified = self.hot.notify.notified();
            self.core.check_running()?;
            match due_ms {
                None if self.hot.is_unread() => return Ok(()),
                Some(due_ms) if self.core.now_ms() >= due_ms => return Ok(()),
                _ => {}
            }
            // A retry's short pause has no timer in the store: it stays. Whatever has one may leave.
            let parked = self.ready.is_none();
            if parked && self.hot.should_leave() && self.core.hot.try_leave(&self.id, &self.hot) {
                if let Some(due_ms) = due_ms {
                    self.core.timers.add(self.core.keys.shard(&self.id), due_ms);
                }
                return Err(Halt::Evicted);
            }
            match due_ms {
                None => notified.await,
                Some(due_ms) => {
                    tokio::select! {
                        () = notified => {}
                        () = tokio::time::sleep(self.core.until(due_ms)) => {}
                    }
                }
            }
        }
    }

    /// Stores that the process died while this step was pending.
    async fn note_crash(&mut self, attempts: AttemptsRecord) -> Result<(), Halt> {
        let mut batch = Batch {
            conditions: vec![self.core.fence.clone()],
            writes: Vec::new(),
        };
        let key = self.core.keys.of(Kind::Attempts, &self.id);
        batch.writes.push(Write::Put(key, record::encode(&attempts)));
        self.attempts = Some(attempts);
        match self.commit(batch).await? {
            None => Ok(()),
            Some(_) => Err(Halt::Fenced),
        }
    }
}
