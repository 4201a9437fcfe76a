//! The workflows of an engine, by name.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;

use serde_json::Value as Json;
use workflow_model::codec;

use super::query::Values;
use super::runner::{self, Machine};
use crate::context::WorkflowContext;
use crate::operation::Description;
use crate::record::CLOSING;
use crate::task_context::States;
use crate::workflow::{Registry, RegistryVisitor, Workflow};
use crate::{Durable, Signal, Update};

/// A machine that runs, or why its input cannot be read, with the context back.
pub(crate) type Begun = Result<Machine, (String, Box<WorkflowContext>)>;

/// One workflow of a [`Registry`], without its type.
#[derive(Clone, Copy)]
pub struct Entry {
    pub(crate) name: &'static str,
    pub(crate) points: &'static [&'static str],
    /// Runs an instance that has not reached a point, from its stored input.
    pub(crate) begin: fn(WorkflowContext, &[u8]) -> Begun,
    pub(crate) resume: fn(WorkflowContext) -> Machine,
    describe: fn() -> Description,
    type_name: fn() -> &'static str,
}

impl fmt::Debug for Entry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Entry")
            .field("name", &self.name)
            .field("points", &self.points)
            .finish()
    }
}

impl Entry {
    /// Whether this code can run an instance at a point. One that only waits for its children needs no code.
    pub(crate) fn knows(&self, point: &str) -> bool {
        point == CLOSING || self.points.contains(&point)
    }

    /// The entry of a workflow type.
    pub fn of<W: Workflow>() -> Self {
        Entry {
            name: W::NAME,
            points: W::POINTS,
            begin: |context, input| match codec::decode::<W>(input) {
                Ok(input) => Ok(runner::run_machine(Some(input), context)),
                Err(error) => Err((error.to_string(), Box::new(context))),
            },
            resume: |context| runner::run_machine::<W>(None, context),
            describe: describe::<W>,
            type_name: std::any::type_name::<W>,
        }
    }
}

/// Lets the workflow tell its operations: it runs nothing of its body.
fn describe<W: Workflow>() -> Description {
    let mut context = WorkflowContext::describing();
    drop(W::step(None, &mut context));
    context.into_description()
}

/// Checks an encoded update against an instance's values.
type Validate = fn(&[u8], &Values) -> Result<(), String>;

/// One type of message that a workflow receives, without its type.
#[derive(Clone, Copy)]
pub(crate) struct MessageEntry {
    pub(crate) name: &'static str,
    /// Checks that a JSON value is one of the type, and encodes it.
    pub(crate) encode_json: fn(&Json) -> Result<Vec<u8>, String>,
    pub(crate) update: bool,
    /// The check that an encoded update passes before it is stored.
    pub(crate) validate: Option<Validate>,
    type_name: fn() -> &'static str,
}

impl fmt::Debug for MessageEntry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("MessageEntry")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl MessageEntry {
    pub(crate) fn signal<S: Signal>() -> Self {
        MessageEntry {
            name: S::NAME,
            encode_json: encode_json::<S>,
            update: false,
            validate: None,
            type_name: std::any::type_name::<S>,
        }
    }

    pub(crate) fn update<U: Update>() -> Self {
        MessageEntry {
            name: U::NAME,
            encode_json: encode_json::<U>,
            update: true,
            validate: U::validator().is_some().then_some(validate::<U>),
            type_name: std::any::type_name::<U>,
        }
    }
}

fn encode_json<T: Durable>(json: &Json) -> Result<Vec<u8>, String> {
    let value: T = serde_json::from_value(json.clone()).map_err(|error| error.to_string())?;
    codec::encode(&value).map_err(|error| error.to_string())
}

fn validate<U: Update>(encoded: &[u8], values: &Values) -> Result<(), String> {
    let Some(validator) = U::validator() else {
        return Ok(());
    };
    let update = codec::decode(encoded).map_err(|error| error.to_string())?;
    validator(&update, values)
}

/// What the types of a program tell an engine.
pub(crate) struct Collected {
    pub(crate) entries: HashMap<&'static str, Entry>,
    /// What each workflow receives.
    pub(crate) inboxes: HashMap<&'static str, Vec<MessageEntry>>,
    /// What is wrong with the program.
    pub(crate) problems: Vec<String>,
}

/// The messages of a workflow, each once.
fn inbox(workflow: &'static str, found: Vec<MessageEntry>, problems: &mut Vec<String>) -> Vec<MessageEntry> {
    let mut inbox: Vec<MessageEntry> = Vec::new();
    for message in found {
        let known = inbox
            .iter()
            .find(|other| (other.name, other.update) == (message.name, message.update));
        match known {
            None => inbox.push(message),
            Some(other) if (other.type_name)() == (message.type_name)() => {}
            Some(other) => problems.push(format!(
                "the workflow `{workflow}` receives two types of the name `{}`: `{}` and `{}`; give one of them \
                 `#[signal(name = \"..\")]`",
                message.name,
                (other.type_name)(),
                (message.type_name)()
            )),
        }
    }
    inbox
}

/// The entries of a registry, and what is wrong with it.
pub(crate) fn collect<R: Registry>(states: &States) -> Collected {
    struct Collector(Vec<Entry>);
    impl RegistryVisitor for Collector {
        fn workflow(&mut self, entry: Entry) {
            self.0.push(entry);
        }
    }
    let mut collector = Collector(Vec::new());
    R::visit(&mut collector);
    let mut problems = Vec::new();
    let mut entries: HashMap<&'static str, Entry> = HashMap::new();
    let mut inboxes = HashMap::new();
    let mut missing: BTreeMap<&'static str, Vec<&'static str>> = BTreeMap::new();
    let mut queue = collector.0;
    queue.reverse();
    let mut seen = HashSet::new();
    while let Some(entry) = queue.pop() {
        // Children are known without being named: a workflow brings those that it awaits.
        if !seen.insert((entry.type_name)()) {
            continue;
        }
        let description = (entry.describe)();
        queue.extend(description.children);
        inboxes.insert(entry.name, inbox(entry.name, description.messages, &mut problems));
        for (task, requirements) in description.tasks {
            let missing_here = |requirement: &&_| !states.suffice(task, requirement);
            for requirement in requirements.iter().filter(missing_here) {
                let wanted = missing.entry(requirement.type_name).or_default();
                if !wanted.contains(&task) {
                    wanted.push(task);
                }
            }
        }
        if let Some(other) = entries.insert(entry.name, entry) {
            problems.push(format!(
                "two workflows have the name `{}`: `{}` and `{}`; give one of them `#[workflow(name = \"..\")]`",
                entry.name,
                (other.type_name)(),
                (entry.type_name)()
            ));
        }
    }
    for (type_name, tasks) in missing {
        let tasks: Vec<String> = tasks.iter().map(|task| format!("`{task}`")).collect();
        problems.push(format!(
            "no `State<{type_name}>`, wanted by {}; give it with `builder.state(value)`",
            tasks.join(", ")
        ));
    }
    Collected {
        entries,
        inboxes,
        problems,
    }
}
