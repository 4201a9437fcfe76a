//! The children of branches that are given up: those that a `select!`, a limit of time or a `try_join!` awaits no more.

use bytes::Bytes;
use workflow_model::InstanceId;

use super::automatic_id;
use crate::engine::children;
use crate::halt::Halt;
use crate::join::branches_of;
use crate::keys::Kind;
use crate::operation::{CHILD, is_block, read_head};
use crate::record::Position;
use crate::run::{Run, Scope};
use crate::store;

impl Run {
    /// Cancels the children that these branches of this line await, except the one that has won. That the line goes on
    /// without them is durable, so whatever interrupts this, it is done again before the line's next step.
    pub(crate) async fn give_up_children(&self, branches: &[Bytes], winner: Option<u32>) -> Result<(), Halt> {
        if !self.shared.lock().has_children {
            return Ok(());
        }
        let mut children = Vec::new();
        let mut blocks = Vec::new();
        for (index, operation) in (0..).zip(branches) {
            if Some(index) == winner {
                continue;
            }
            let line = self.branch(index);
            awaited(&line, operation, &mut children);
            if has_block(operation) {
                blocks.push(line.scope);
            }
        }
        if !blocks.is_empty() {
            self.awaited_in_blocks(&blocks, &mut children).await?;
        }
        if children.is_empty() {
            return Ok(());
        }
        children::give_up(self, &children).await
    }

    /// Adds the children that are awaited in blocks, which stand where their lines do.
    async fn awaited_in_blocks(&self, scopes: &[Scope], children: &mut Vec<InstanceId>) -> Result<(), Halt> {
        let range = self.core.keys.numbered_range(Kind::Position, &self.id);
        let mut failures = 0;
        let positions = loop {
            match self.core.read_all(range.clone()).await {
                Ok(positions) => break positions,
                Err(error @ store::Error::Corrupt(_)) => return Err(Halt::Store(error)),
                Err(_) => {
                    failures += 1;
                    self.hot.lease.gate.wait_for_store(failures).await?;
                }
            }
        };
        for (key, value) in positions {
            let scope = self.core.keys.scope_of(&self.id, &key).and_then(Scope::parse);
            let Some(scope) = scope.filter(|scope| scopes.iter().any(|given_up| scope.is_within(given_up)))
            else {
                continue;
            };
            let position = Position::read(value)
                .map_err(|error| Halt::undecodable("the position of an async block", error))?;
            let mut line = self.at(&scope);
            line.step = position.state.step;
            line.above = position.above.into();
            awaited(&line, &position.state.operation, children);
        }
        Ok(())
    }
}

/// Adds the children that a stored operation of this line awaits. One that the code has started before is not among
/// them: its handle is its own.
fn awaited(line: &Run, operation: &Bytes, children: &mut Vec<InstanceId>) {
    children.extend(child_of(line, operation));
    for (index, inner) in (0..).zip(branches_of(operation).0) {
        awaited(&line.branch(index), &inner, children);
    }
}

fn child_of(line: &Run, operation: &[u8]) -> Option<InstanceId> {
    let Some((CHILD, _, rest)) = read_head(operation) else {
        return None;
    };
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    let id = std::str::from_utf8(rest.get(..length)?).ok()?;
    InstanceId::new(match id {
        "" => automatic_id(
            line.id.as_str(),
            line.restarts,
            &format!("{}{}", line.step, line.line()),
        ),
        id => id.to_owned(),
    })
    .ok()
}

fn has_block(operation: &Bytes) -> bool {
    is_block(operation) || branches_of(operation).0.iter().any(has_block)
}
