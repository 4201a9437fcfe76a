//! The bytes of the engine's records (see `docs/formats.md`).
//!
//! A state is written at every step, so it has a layout of its own; the others are values of the common format.

use bytes::{Buf, Bytes};
use serde::{Deserialize, Serialize};
use workflow_model::{BlockedReason, InstanceId, codec};

use crate::child::ParentClosePolicy;

/// The first byte of a state record.
const STATE_VERSION: u8 = 1;

/// The point of an instance whose code has returned and which waits for its children; no point of a workflow has
/// parentheses in its name.
pub(crate) const CLOSING: &str = "(closing)";

/// An instance: written at its start, never changed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct InstanceRecord {
    pub(crate) workflow: String,
    /// Tells this run of the instance from an earlier one with the same id.
    pub(crate) token: u64,
    pub(crate) created_ms: u64,
    #[serde(with = "blob")]
    pub(crate) input: Bytes,
    /// The instance that waits for this one's outcome.
    #[serde(default)]
    pub(crate) parent: Option<InstanceId>,
    /// How many ended instances of this id it has replaced.
    #[serde(default)]
    pub(crate) restarts: u32,
}

/// A link from an instance to a child.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ChildRecord {
    pub(crate) workflow: String,
    pub(crate) policy: ParentClosePolicy,
    /// The parent has ended, and the child has its order.
    pub(crate) told: bool,
    /// The branch that awaited the child was given up, and the child has its order.
    #[serde(default)]
    pub(crate) given_up: bool,
}

/// How an instance ended, or why it is blocked.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct OutcomeRecord {
    pub(crate) end: End,
    pub(crate) time_ms: u64,
    pub(crate) steps: u64,
    /// The encoded output; empty for a blocked instance.
    #[serde(with = "blob")]
    pub(crate) output: Bytes,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum End {
    Completed,
    Failed { error: String },
    Blocked { reason: BlockedReason },
    Cancelled { reason: String },
    Terminated { reason: String },
    Paused { reason: String },
}

impl End {
    /// Whether the instance can go on.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self, End::Blocked { .. } | End::Paused { .. })
    }
}

/// What a child tells its parent.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum ChildEnd {
    /// It returned this output.
    Output(#[serde(with = "blob")] Bytes),
    /// It was cancelled, for this reason.
    Cancelled(String),
    /// It was terminated, for this reason.
    Terminated(String),
}

impl ChildEnd {
    /// What an instance that has ended so tells its parent.
    pub(crate) fn of(outcome: &OutcomeRecord) -> Self {
        match &outcome.end {
            End::Cancelled { reason } => ChildEnd::Cancelled(reason.clone()),
            End::Terminated { reason } => ChildEnd::Terminated(reason.clone()),
            End::Completed | End::Failed { .. } | End::Blocked { .. } | End::Paused { .. } => {
                ChildEnd::Output(outcome.output.clone())
            }
        }
    }
}

/// The failed attempts of the pending task.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct AttemptsRecord {
    /// The step that they belong to; those of an earlier step count no more.
    pub(crate) step: u64,
    pub(crate) failed: u32,
    /// How often the process died while the step was pending.
    pub(crate) crashes: u32,
    /// When the next attempt may begin.
    pub(crate) due_ms: u64,
    /// Whether a timer record wakes the instance then.
    pub(crate) timer: bool,
    pub(crate) error: String,
    /// What a running attempt reported last.
    #[serde(default, with = "optional_blob")]
    pub(crate) progress: Option<Bytes>,
    /// When an operator let the step begin anew: its limits of time count from then on.
    #[serde(default)]
    pub(crate) retried_ms: Option<u64>,
}

/// The output that an operator gives in the place of the pending task's.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct GivenRecord {
    pub(crate) step: u64,
    #[serde(with = "blob")]
    pub(crate) output: Bytes,
}

/// A message that waits to be received.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct MessageRecord {
    pub(crate) signal: String,
    #[serde(with = "blob")]
    pub(crate) payload: Bytes,
    /// The name of the request, if somebody waits for a reply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) request: Option<String>,
}

impl MessageRecord {
    pub(crate) fn signal(signal: String, payload: Bytes) -> Self {
        MessageRecord {
            signal,
            payload,
            request: None,
        }
    }
}

/// Messages that are kept for an id that no instance has.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct EarlyRecord {
    /// The workflow that is to be started.
    pub(crate) workflow: String,
    pub(crate) count: u32,
    /// When they are removed.
    pub(crate) expires_ms: u64,
}

/// An update that was accepted.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct UpdateRecord {
    /// The update's stored name.
    pub(crate) update: String,
    /// The answer, once there is one.
    pub(crate) reply: Option<Reply>,
}

/// The answer to an update.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Reply {
    Given(#[serde(with = "blob")] Bytes),
    Rejected(String),
}

/// What of an instance record tells whose it is; the input is not read.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct InstanceHead {
    pub(crate) workflow: String,
    pub(crate) token: u64,
}

mod blob {
    use super::Bytes;
    use serde::{Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(bytes)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Bytes;
            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("bytes")
            }
            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Bytes, E> {
                Ok(Bytes::copy_from_slice(bytes))
            }
        }
        deserializer.deserialize_bytes(Visitor)
    }
}

mod optional_blob {
    use super::{Bytes, blob};
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    struct Blob(#[serde(with = "blob")] Bytes);

    pub(super) fn serialize<S: Serializer>(bytes: &Option<Bytes>, serializer: S) -> Result<S::Ok, S::Error> {
        bytes.clone().map(Blob).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Bytes>, D::Error> {
        Ok(Option::<Blob>::deserialize(deserializer)?.map(|blob| blob.0))
    }
}

/// Encodes a record in the common value format.
pub(crate) fn encode<T: Serialize>(record: &T) -> Bytes {
    match codec::encode(record) {
        Ok(bytes) => bytes.into(),
        // The records above hold only strings, numbers and bytes, which always encode.
        Err(error) => unreachable!("a record of the engine does not encode: {error}"),
    }
}

/// Writes a state record: `version step point operation variable*`.
#[derive(Debug)]
pub(crate) struct StateWriter {
    bytes: Vec<u8>,
}

/// How a variable's value is stored.
pub(crate) enum Stored<'a> {
    Inline(&'a [u8]),
    Side(u32),
}

impl StateWriter {
    pub(crate) fn new(step: u64, point: &str, operation: &[u8], capacity: usize) -> Self {
        Self::with(None, step, point, operation, capacity)
    }

    /// Begins the record of a block's line: `count above* state`, where `above` are the steps of the lines around it.
    pub(crate) fn of_block(above: &[u64], step: u64, point: &str, operation: &[u8], capacity: usize) -> Self {
        Self::with(Some(above), step, point, operation, capacity)
    }

    fn with(above: Option<&[u64]>, step: u64, point: &str, operation: &[u8], capacity: usize) -> Self {
        let mut writer = StateWriter {
            bytes: Vec::with_capacity(capacity.max(64 + operation.len())),
        };
        if let Some(above) = above {
            writer.number(above.len() as u64);
            above.iter().for_each(|step| writer.number(*step));
        }
        writer.bytes.push(STATE_VERSION);
        writer.number(step);
        writer.slice(point.as_bytes());
        writer.slice(operation);
        writer
    }

    fn number(&mut self, value: u64) {
        put_number(&mut self.bytes, value);
    }

    fn slice(&mut self, bytes: &[u8]) {
        put_slice(&mut self.bytes, bytes);
    }

    pub(crate) fn variable(&mut self, name: &str, value: &Stored<'_>) {
        self.slice(name.as_bytes());
        match value {
            Stored::Inline(bytes) => {
                self.bytes.push(0);
                self.slice(bytes);
            }
            Stored::Side(number) => {
                self.bytes.push(1);
                self.number(u64::from(*number));
            }
        }
    }

    pub(crate) fn finish(self) -> Bytes {
        self.bytes.into()
    }
}

fn put_number(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Writes a length and so many bytes.
pub(crate) fn put_slice(out: &mut Vec<u8>, bytes: &[u8]) {
    put_number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Where the line of a block is.
#[derive(Debug, Clone)]
pub(crate) struct Position {
    /// The steps of the lines whose blocks it is in, outermost first.
    pub(crate) above: Vec<u64>,
    pub(crate) state: StateRecord,
}

impl Position {
    /// Reads a record; the error says what is wrong with it.
    pub(crate) fn read(mut bytes: Bytes) -> Result<Self, String> {
        let count = take_number(&mut bytes)?;
        let mut above = Vec::new();
        for _ in 0..count {
            above.push(take_number(&mut bytes)?);
        }
        let state = StateRecord::read(bytes)?;
        Ok(Position { above, state })
    }
}

/// A state record, read.
#[derive(Debug, Clone)]
pub(crate) struct StateRecord {
    pub(crate) step: u64,
    pub(crate) point: String,
    pub(crate) operation: Bytes,
    pub(crate) variables: Vec<(String, Value)>,
}

#[derive(Debug, Clone)]
pub(crate) enum Value {
    Inline(Bytes),
    Side(u32),
}

impl StateRecord {
    /// The numbers of the side records that the state refers to.
    pub(crate) fn sides(&self) -> impl Iterator<Item = u32> {
        self.variables.iter().filter_map(|(_, value)| match value {
            Value::Side(number) => Some(*number),
            Value::Inline(_) => None,
        })
    }

    /// Reads a record; the error says what is wrong with it.
    pub(crate) fn read(mut bytes: Bytes) -> Result<Self, String> {
        let version = take_byte(&mut bytes)?;
        if version != STATE_VERSION {
            return Err(format!(
                "the state has format {version}, this program reads {STATE_VERSION}"
            ));
        }
        let step = take_number(&mut bytes)?;
        let point = take_text(&mut bytes)?;
        let operation = take_slice(&mut bytes)?;
        let mut variables = Vec::new();
        while !bytes.is_empty() {
            let name = take_text(&mut bytes)?;
            let value = match take_byte(&mut bytes)? {
                0 => Value::Inline(take_slice(&mut bytes)?),
                1 => {
                    let number = take_number(&mut bytes)?;
                    Value::Side(
                        u32::try_from(number).map_err(|_| format!("side record {number} is out of range"))?,
                    )
                }
                other => return Err(format!("variable `{name}` has the unknown kind {other}")),
            };
            variables.push((name, value));
        }
        Ok(StateRecord {
            step,
            point,
            operation,
            variables,
        })
    }
}

fn take_byte(bytes: &mut Bytes) -> Result<u8, String> {
    if bytes.is_empty() {
        return Err("the state record is cut off".to_owned());
    }
    Ok(bytes.get_u8())
}

fn take_number(bytes: &mut Bytes) -> Result<u64, String> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let byte = take_byte(bytes)?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err("a number in the state record is too long".to_owned())
}

pub(crate) fn take_slice(bytes: &mut Bytes) -> Result<Bytes, String> {
    let length = take_number(bytes)?;
    match usize::try_from(length) {
        Ok(length) if length <= bytes.len() => Ok(bytes.split_to(length)),
        _ => Err("the state record is cut off".to_owned()),
    }
}

pub(crate) fn take_text(bytes: &mut Bytes) -> Result<String, String> {
    let slice = take_slice(bytes)?;
    String::from_utf8(slice.to_vec()).map_err(|_| "a name in the state record is not UTF-8".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Bytes {
        let mut writer = StateWriter::new(300, "charge#2", b"input", 0);
        writer.variable("total", &Stored::Inline(b"\x01\x02"));
        writer.variable("rows", &Stored::Side(7));
        writer.finish()
    }

    #[test]
    fn a_state_reads_as_it_was_written() {
        let state = StateRecord::read(sample()).unwrap();
        assert_eq!(
            (state.step, state.point.as_str(), &state.operation[..]),
            (300, "charge#2", &b"input"[..])
        );
        assert!(
            matches!(&state.variables[..], [(a, Value::Inline(x)), (b, Value::Side(7))]
            if a == "total" && &x[..] == b"\x01\x02" && b == "rows")
        );
    }

    #[test]
    fn a_damaged_state_is_an_error_not_a_panic() {
        let whole = sample();
        for cut in 0..whole.len() {
            // A cut at the border of a variable leaves a shorter state that is whole.
            let _ = StateRecord::read(whole.slice(..cut));
            for bit in 0..8 {
                let mut damaged = whole.to_vec();
                damaged[cut] ^= 1 << bit;
                let _ = StateRecord::read(damaged.into());
            }
        }
        assert!(StateRecord::read(Bytes::new()).unwrap_err().contains("cut off"));
        assert!(
            StateRecord::read(Bytes::from_static(&[9]))
                .unwrap_err()
                .contains("format 9")
        );
    }
}
