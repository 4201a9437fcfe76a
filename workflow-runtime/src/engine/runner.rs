//! Runs instances: loads them, drives their code, writes how they end.

use std::collections::HashMap;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use workflow_model::{BlockedReason, InstanceId};

use super::children;
use super::core::{Core, Message, decode};
use super::early;
use super::hot::{Control, Hot, Verb};
use super::lease::Lease;
use crate::Output;
use crate::attempt::panic_message;
use crate::cluster;
use crate::context::WorkflowContext;
use crate::halt::{Halt, HaltSlot};
use crate::join::timers_of;
use crate::keys::{Keys, Kind};
use crate::operation;
use crate::record::{
    AttemptsRecord, CLOSING, End, GivenRecord, InstanceRecord, OutcomeRecord, Position, StateRecord,
};
use crate::run::{Run, Scope};
use crate::store::{Batch, Condition, Error, Write};
use crate::workflow::Workflow;

/// How the code of an instance stopped.
pub(crate) enum Ended {
    /// It returned or is blocked; the outcome is durable.
    Closed(OutcomeRecord),
    /// It stops here and may continue later.
    Left(Halt),
}

/// The code of an instance, at work.
pub(crate) type Machine = Pin<Box<dyn Future<Output = Ended> + Send>>;

/// The code of a workflow: runs one stage, and tells how the workflow returned. What is generic over the workflow is this
/// small: it is compiled anew in each crate that has workflows.
type Code = Box<dyn FnMut(&mut WorkflowContext) -> Option<Finished> + Send>;

/// How the code of a workflow returned, and its encoded output.
type Finished = Result<(End, Bytes), Halt>;

/// Drives the code of a workflow until it ends or has to stop, and writes the outcome.
pub(crate) fn run_machine<W: Workflow>(mut input: Option<W>, context: WorkflowContext) -> Machine {
    let code: Code =
        Box::new(move |context| W::step(input.take(), context).map(|output| finished::<W>(&output)));
    machine(code, context)
}

fn machine(code: Code, context: WorkflowContext) -> Machine {
    Box::pin(drive(code, context))
}

fn finished<W: Workflow>(output: &W::Output) -> Finished {
    let encoded = Output::encode(output).map_err(|error| Halt::Unencodable {
        variable: "the output".to_owned(),
        error: error.to_string(),
    })?;
    let end = match W::failure(output) {
        None => End::Completed,
        Some(error) => End::Failed { error },
    };
    Ok((end, Bytes::from(encoded)))
}

async fn drive(code: Code, mut context: WorkflowContext) -> Ended {
    let halts = context.halts();
    let run = context
        .run()
        .map(|run| (run.core.clone(), run.hot.clone(), run.shared.clone()));
    let run = run.ok();
    let mut machine: Pin<Box<dyn Future<Output = Finished> + Send + '_>> =
        Box::pin(stages(code, &mut context));
    let end = guarded(
        &mut machine,
        &halts,
        run.as_ref().map(|(_, hot, _)| &**hot),
        || {
            if let Some((core, _, shared)) = &run {
                core.committer.hand_over(&shared.gathered);
            }
        },
    )
    .await;
    drop(machine);
    finish(end.and_then(|end| end), context).await
}

/// Runs one stage after the other.
async fn stages(mut code: Code, context: &mut WorkflowContext) -> Finished {
    loop {
        if let Some(finished) = code(context) {
            return finished;
        }
        context.arrive().await;
    }
}

async fn finish(end: Result<(End, Bytes), Halt>, mut context: WorkflowContext) -> Ended {
    let mut sides = context.side_keys();
    let end = match end {
        Ok((end, output)) => returned(end, output, &mut sides, &mut context).await,
        Err(halt) => Err(halt),
    };
    conclude(end, sides, context).await
}

/// The code has returned. If children have to end first, what it returned is stored, and they are waited for.
async fn returned(
    end: End,
    output: Bytes,
    sides: &mut Vec<Bytes>,
    context: &mut WorkflowContext,
) -> Result<(End, Bytes), Halt> {
    let run = context.run()?;
    run.shared.outbox.check()?;
    if !run.has_to_wait().await? {
        return Ok((end, output));
    }
    let outcome = OutcomeRecord {
        end,
        time_ms: run.core.now_ms(),
        steps: run.step,
        output,
    };
    run.store_return(&outcome, std::mem::take(sides)).await?;
    wait_for_children(context).await?;
    Ok((outcome.end, outcome.output))
}

/// Goes on waiting for the children of an instance whose code returned in an earlier life.
async fn resume_closing(outcome: OutcomeRecord, mut context: WorkflowContext) -> Ended {
    let end = wait_for_children(&mut context).await;
    let end = end.map(|()| (outcome.end, outcome.output));
    conclude(end, Vec::new(), context).await
}

async fn wait_for_children(context: &mut WorkflowContext) -> Result<(), Halt> {
    let halts = context.halts();
    let run = context.run()?;
    let hot = run.hot.clone();
    let mut waiting: Pin<Box<dyn Future<Output = Result<(), Halt>> + Send + '_>> =
        Box::pin(children::wait(run));
    guarded(&mut waiting, &halts, Some(&hot), || {})
        .await
        .and_then(|end| end)
}

async fn conclude(end: Result<(End, Bytes), Halt>, sides: Vec<Bytes>, mut context: WorkflowContext) -> Ended {
    let run = match context.run() {
        Ok(run) => run,
        Err(halt) => return Ended::Left(halt),
    };
    let end = end.and_then(|end| run.shared.outbox.check().map(|()| end));
    let (end, output) = match end {
        Ok(end) => end,
        Err(Halt::Terminated { reason }) => (End::Terminated { reason }, Bytes::new()),
        Err(Halt::Cancelled { reason }) => (End::Cancelled { reason }, Bytes::new()),
        Err(Halt::Paused { reason }) => {
            // The order is carried out: it must not stop the instance again when it is resumed.
            run.obsolete
                .extend(run.hot.ordered(|verb| verb == Verb::Pause).map(|order| order.key));
            (End::Paused { reason }, Bytes::new())
        }
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
    if matches!(end, End::Cancelled { .. } | End::Terminated { .. })
        && let Err(error) = run.sweep().await
    {
        return Ended::Left(Halt::Store(error));
    }
    let outcome = OutcomeRecord {
        end,
        time_ms: run.core.now_ms(),
        steps: run.step,
        output,
    };
    match run.close(&outcome, sides).await {
        Ok(false) => Ended::Closed(outcome),
        Ok(true) => {
            // Whatever interrupts this, the ready record brings an engine back to it.
            let _ = children::settle(&run.core, &run.hot.lease, &run.id, &outcome).await;
            Ended::Closed(outcome)
        }
        Err(halt) => Ended::Left(halt),
    }
}

/// Polls the machine; a halt, a panic or an order from outside ends it. `polled` is called after each poll.
async fn guarded<T>(
    machine: &mut Pin<Box<dyn Future<Output = T> + Send + '_>>,
    halts: &HaltSlot,
    hot: Option<&Hot>,
    polled: impl Fn(),
) -> Result<T, Halt> {
    std::future::poll_fn(|polling| {
        if let Some(hot) = hot {
            hot.waker.register(polling.waker());
            if let Some(order) = hot.ordered(|verb| verb != Verb::Cancel) {
                return Poll::Ready(Err(match order.verb {
                    Verb::Terminate => Halt::Terminated { reason: order.reason },
                    _ => Halt::Paused { reason: order.reason },
                }));
            }
        }
        match std::panic::catch_unwind(AssertUnwindSafe(|| machine.as_mut().poll(polling))) {
            Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
            Ok(Poll::Pending) => {
                polled();
                match halts.take() {
                    Some(halt) => Poll::Ready(Err(halt)),
                    None => Poll::Pending,
                }
            }
            Err(payload) => Poll::Ready(Err(Halt::Panicked {
                message: panic_message(&*payload),
            })),
        }
    })
    .await
}

/// Runs a new instance until it leaves the memory; false when nothing may begin any more.
pub(crate) fn spawn_new(core: &Arc<Core>, hot: &Arc<Hot>, id: InstanceId, machine: Machine) -> bool {
    if !core.instance_begins(&hot.lease) {
        core.hot.remove(&id);
        return false;
    }
    let (core, hot) = (core.clone(), hot.clone());
    tokio::spawn(async move {
        let ended = machine.await;
        settle(&core, &hot, &id, ended).await;
        core.instance_ends(&hot.lease);
    });
    true
}

/// Loads an instance and runs it, unless it is in memory already, or not this engine's to run.
pub(crate) fn activate(core: &Arc<Core>, id: InstanceId, recovering: bool) {
    if let Some(lease) = core.leases.of(&id) {
        activate_under(core, id, lease, recovering);
    }
}

/// Loads an instance and runs it under this lease, unless it is in memory already.
pub(crate) fn activate_under(core: &Arc<Core>, id: InstanceId, lease: Arc<Lease>, recovering: bool) {
    if !core.instance_begins(&lease) {
        return;
    }
    let Some(hot) = core.hot.enter(&id, lease.clone(), true) else {
        core.instance_ends(&lease);
        return;
    };
    let core = core.clone();
    tokio::spawn(async move {
        let mut failures = 0;
        let ended = loop {
            match load(&core, &hot, &id, recovering).await {
                Ok(Loaded::Machine(machine)) => break machine.await,
                Ok(Loaded::Nothing(ended)) => break ended,
                Err(Halt::Store(error)) if !matches!(error, Error::Corrupt(_)) => {
                    failures += 1;
                    if lease.gate.wait_for_store(failures).await.is_err() {
                        break Ended::Left(Halt::Shutdown);
                    }
                }
                Err(halt) => break Ended::Left(halt),
            }
        };
        settle(&core, &hot, &id, ended).await;
        core.instance_ends(&lease);
    });
}

async fn settle(core: &Arc<Core>, hot: &Hot, id: &InstanceId, ended: Ended) {
    if hot.lease.is_claim() {
        let has_ended = matches!(ended, Ended::Closed(_) | Ended::Left(Halt::Evicted));
        cluster::give_up(core, hot, id, has_ended).await;
    }
    match ended {
        Ended::Closed(outcome) => {
            core.hot.remove(id);
            if !outcome.end.is_open() && hot.has_unread() {
                // A message came at the last moment: it is removed.
                activate(core, id.clone(), false);
            }
            if !matches!(outcome.end, End::Paused { .. }) {
                core.announce(id, &outcome);
            }
        }
        // It left the map itself, when it found that nothing holds it.
        Ended::Left(Halt::Evicted) => {}
        Ended::Left(_) => core.hot.remove(id),
    }
}

enum Loaded {
    Machine(Machine),
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
        Kind::Given,
        Kind::Claim,
        Kind::Early,
    ]
    .map(|kind| keys.of(kind, id));
    let found = core.store.get(&wanted).await.map_err(Halt::Store)?;
    let mut found = found.into_iter();
    let mut next = || found.next().flatten();
    let (instance, outcome, state, attempts, ready, given) = (next(), next(), next(), next(), next(), next());
    let (claim, early) = (next(), next());
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
        clean_up(core, hot, id, outcome.as_ref()).await;
        return Ok(Loaded::Nothing(Ended::Left(Halt::NotStarted)));
    };
    let instance: InstanceRecord = decode(&wanted[0], &instance).map_err(Halt::Store)?;
    let mut run = Run::new(core.clone(), hot.clone(), id.clone(), instance.token);
    if let Some(ready) = &ready {
        hot.note_ready(ready);
    }
    run.shared.lock().ready = ready;
    run.parent = instance.parent;
    run.restarts = instance.restarts;
    {
        let mut shared = run.shared.lock();
        (shared.has_children, shared.may_wait) = (state.is_some(), state.is_some());
    }
    run.given = given
        .map(|value| decode(&wanted[5], &value))
        .transpose()
        .map_err(Halt::Store)?;
    // What no code here can run stays as it is, for a program that can.
    let entry = core.entries.get(instance.workflow.as_str());
    let point = state.clone().and_then(|state| StateRecord::read(state).ok());
    let point = point.as_ref().map(|state| state.point.as_str());
    let is_known = entry.is_some_and(|entry| point.is_none_or(|point| entry.knows(point)));
    let is_claimed = claim.is_some();
    cluster::claim_of(core, hot, id, claim, is_known).await?;
    let Some(entry) = entry.filter(|_| is_known) else {
        cluster::offer(core, hot, id, &instance.workflow, point, is_claimed).await?;
        return Err(Halt::NoSuchPoint);
    };
    read_orders(core, hot, id).await?;
    if let Some(early) = early {
        // A child takes over what was sent to it before its parent started it.
        let early = early::take_over(core, id, &instance.workflow, Some(early)).await;
        let removed = early.map_err(Halt::Store)?.writes.into_iter();
        run.obsolete.extend(removed.filter_map(|write| match write {
            Write::Delete(key) => Some(key),
            Write::Put(..) => None,
        }));
    }
    if undecodable {
        run.obsolete.push(wanted[1].clone());
    }
    let Some(state) = state else {
        return Ok(
            match (entry.begin)(WorkflowContext::starting(run), &instance.input) {
                Ok(machine) => Loaded::Machine(machine),
                Err((error, context)) => {
                    Loaded::Nothing(finish(Err(Halt::undecodable("the input", error)), *context).await)
                }
            },
        );
    };
    let state = match StateRecord::read(state) {
        Ok(state) => state,
        Err(error) => {
            let halt = Halt::undecodable("the state", error);
            return Ok(Loaded::Nothing(
                finish(Err(halt), WorkflowContext::starting(run)).await,
            ));
        }
    };
    run.step = state.step;
    if state.point == CLOSING {
        let outcome = operation::read_end(&state.operation);
        let context = WorkflowContext::starting(run);
        return Ok(match outcome {
            Ok(outcome) => Loaded::Machine(Box::pin(resume_closing(outcome, context))),
            Err(error) => Loaded::Nothing(finish(Err(Halt::undecodable("the output", error)), context).await),
        });
    }
    let attempts: Option<AttemptsRecord> = attempts
        .map(|value| decode(&wanted[3], &value))
        .transpose()
        .map_err(Halt::Store)?;
    let attempts = attempts.filter(|attempts| attempts.step == state.step);
    if recovering && operation::runs_code(&state.operation) {
        let mut attempts = attempts.unwrap_or(AttemptsRecord {
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
    } else if let Some(attempts) = attempts {
        run.shared.lock().attempts.insert(Scope::default(), attempts);
    }
    if operation::has_branches(&state.operation) {
        load_branches(core, &run).await?;
    }
    let sides = load_sides(core, &run).await?;
    match WorkflowContext::resuming(run, &state, sides) {
        Ok(context) => Ok(Loaded::Machine((entry.resume)(context))),
        Err((halt, run)) => Ok(Loaded::Nothing(
            finish(Err(halt), WorkflowContext::starting(*run)).await,
        )),
    }
}

/// Reads orders that were stored while the instance was not in memory.
pub(crate) async fn read_orders(core: &Core, hot: &Hot, id: &InstanceId) -> Result<(), Halt> {
    for message in core.read_messages(id).await.map_err(Halt::Store)? {
        if let Some(verb) = Verb::ALL.into_iter().find(|verb| verb.signal() == message.signal) {
            let reason = String::from_utf8_lossy(&message.payload).into_owned();
            hot.order(Control {
                verb,
                key: message.key,
                reason,
            });
        }
    }
    Ok(())
}

/// Reads the large values: the answer holds those that no block's line refers to.
async fn load_sides(core: &Core, run: &Run) -> Result<Vec<(u32, Bytes)>, Halt> {
    let sides = core
        .read_all(core.keys.numbered_range(Kind::Side, &run.id))
        .await
        .map_err(Halt::Store)?;
    let mut shared = run.shared.lock();
    let shared = &mut *shared;
    let of_blocks: HashMap<u32, &Scope> = shared
        .positions
        .iter()
        .flat_map(|(scope, position)| position.state.sides().map(move |number| (number, scope)))
        .collect();
    let mut own = Vec::new();
    for (key, value) in sides {
        let Some(number) = Keys::side_of(&key) else {
            continue;
        };
        shared.next_side = shared.next_side.max(number + 1);
        match of_blocks.get(&number) {
            Some(scope) => {
                shared.ledger.enter(scope, key);
                shared.sides.insert(number, value);
            }
            None => own.push((number, value)),
        }
    }
    Ok(own)
}

/// Reads what the branches of the pending join or select have done.
async fn load_branches(core: &Core, run: &Run) -> Result<(), Halt> {
    let scope = |key: &Bytes| core.keys.scope_of(&run.id, key).and_then(Scope::parse);
    let done = core
        .read_all(core.keys.numbered_range(Kind::Branch, &run.id))
        .await
        .map_err(Halt::Store)?;
    let attempts = core
        .read_all(core.keys.numbered_range(Kind::Attempts, &run.id))
        .await
        .map_err(Halt::Store)?;
    let given = core
        .read_all(core.keys.numbered_range(Kind::Given, &run.id))
        .await
        .map_err(Halt::Store)?;
    let positions = core
        .read_all(core.keys.numbered_range(Kind::Position, &run.id))
        .await
        .map_err(Halt::Store)?;
    let timer = |due_ms| core.keys.timer(&run.id, due_ms);
    let mut shared = run.shared.lock();
    for (key, value) in done {
        if let Some(scope) = scope(&key) {
            shared.ledger.enter(&scope, key);
            shared.done.insert(scope, value);
        }
    }
    for (key, value) in attempts {
        if let Some(scope) = scope(&key) {
            let attempts: AttemptsRecord = decode(&key, &value).map_err(Halt::Store)?;
            if attempts.timer {
                shared.ledger.enter(&scope, timer(attempts.due_ms));
            }
            shared.ledger.enter(&scope, key);
            shared.attempts.insert(scope, attempts);
        }
    }
    for (key, value) in given {
        if let Some(scope) = scope(&key) {
            let given: GivenRecord = decode(&key, &value).map_err(Halt::Store)?;
            shared.ledger.enter(&scope, key);
            shared.given.insert(scope, given.output);
        }
    }
    for (key, value) in positions {
        if let Some(scope) = scope(&key) {
            let position = Position::read(value)
                .map_err(|error| Halt::undecodable("the position of an async block", error))?;
            for due_ms in timers_of(&position.state.operation) {
                shared.ledger.enter(&scope, timer(due_ms));
            }
            shared.ledger.enter(&scope, key);
            shared.positions.insert(scope, position);
        }
    }
    Ok(())
}

/// Removes what points to an instance that has ended: a message that came at its last moment, a timer.
async fn clean_up(core: &Arc<Core>, hot: &Hot, id: &InstanceId, outcome: Option<&OutcomeRecord>) {
    if let Some(outcome) = outcome.filter(|outcome| !outcome.end.is_open())
        && children::settle(core, &hot.lease, id, outcome).await.is_err()
    {
        return;
    }
    let mut batch = Batch {
        conditions: vec![hot.lease.fence()],
        writes: Vec::new(),
    };
    if outcome.is_none() {
        // There is no instance: messages that came before its start are kept until their time is over.
        let key = core.keys.of(Kind::Early, id);
        match core.read_one(&key).await {
            Ok(None) => {
                let instance = core.keys.of(Kind::Instance, id);
                batch
                    .conditions
                    .extend([Condition::Absent(key), Condition::Absent(instance)]);
            }
            _ => {
                let _ = early::look(core, id).await;
                return;
            }
        }
    }
    let Ok(messages) = core.read_messages(id).await else {
        return;
    };
    batch.writes.push(Write::Delete(core.keys.of(Kind::Ready, id)));
    let blocked = outcome.is_some_and(|outcome| outcome.end.is_open());
    if !blocked {
        batch
            .writes
            .extend(messages.into_iter().map(|Message { key, .. }| Write::Delete(key)));
    }
    let _ = core.committer.commit(batch).await;
}
