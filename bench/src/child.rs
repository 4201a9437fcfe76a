//! Parts that run in a process of their own: because it is killed, because its memory is measured, or for a profiler.

use crate::options::Options;
use crate::{Failure, sequence};

/// Runs `child ..`.
pub(crate) fn run(arguments: &[String]) -> Result<(), Failure> {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["sequence", kind, in_flight, count] => {
            sequence::child(&Options::default(), kind, in_flight.parse()?, count.parse()?)
        }
        _ => Err(format!("there is no child {arguments:?}").into()),
    }
}
