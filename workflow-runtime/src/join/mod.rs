//! Several operations at once: all of them, all unless one fails, or the first.
//!
//! Starting them is one write. Each branch that ends writes its result as a record of its own, together with what it
//! consumed; the step behind the join removes these records. The winner of a select is written when no other branch
//! runs any more, so it is decided once, and what a loser consumed comes back.

mod all;
mod branch;
mod encoding;
mod limits;
mod tuples;

pub use self::all::{JoinAll, join_all};
pub(crate) use self::encoding::{branches_of, timers_of};
pub use self::limits::{Cancellable, Cancelled, Elapsed, OperationExt, Timeout};
pub use self::tuples::{
    Either2, Either3, Either4, Either5, Either6, Either7, Either8, Join, Select, TryJoin, join, select,
    try_join,
};
