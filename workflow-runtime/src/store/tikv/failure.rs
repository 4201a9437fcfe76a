//! What an error of the client means: the only place that looks into one.

use tikv_client::Error as ClientError;

/// What is known of a commit that ended with an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// Another transaction wrote one of the keys first. The commit did not get to the point where it takes effect;
    /// unless it is a commit that was sent again because its first answer was lost, and meets itself or a successor.
    Conflict,
    /// TiKV did not commit in one phase and left the locks of two.
    NotOnePhase,
    /// TiKV takes no entry of so many bytes.
    TooLarge(usize),
    /// It may have been applied or not: an answer was lost, or the transaction met a lock that did not go away.
    Unclear,
}

/// What a failed commit means.
pub(super) fn of_commit(error: &ClientError) -> Failure {
    match error {
        ClientError::MultipleKeyErrors(errors) | ClientError::ExtractedErrors(errors) => errors
            .iter()
            .map(of_commit)
            .fold(None, worse)
            .unwrap_or(Failure::Unclear),
        ClientError::PessimisticLockError { inner, .. } => of_commit(inner),
        // Prewriting alone finds conflicts, and what is not prewritten is not committed.
        ClientError::KeyError(key) if key.conflict.is_some() || key.already_exist.is_some() => {
            Failure::Conflict
        }
        ClientError::OnePcFailure => Failure::NotOnePhase,
        ClientError::RegionError(region) => match &region.raft_entry_too_large {
            Some(entry) => Failure::TooLarge(usize::try_from(entry.entry_size).unwrap_or(usize::MAX)),
            None => Failure::Unclear,
        },
        // Among them `UndeterminedError`, and every error of gRPC: the client does not flag all lost answers.
        _ => Failure::Unclear,
    }
}

/// Of several errors of one commit the one that tells least is what is known.
fn worse(known: Option<Failure>, next: Failure) -> Option<Failure> {
    let rank = |failure| match failure {
        Failure::Conflict => 0,
        Failure::NotOnePhase => 1,
        Failure::TooLarge(_) => 2,
        Failure::Unclear => 3,
    };
    match known {
        Some(known) if rank(known) >= rank(next) => Some(known),
        _ => Some(next),
    }
}

/// The start timestamp of a transaction that left a lock and whose primary key knows nothing of it. Its client died, or
/// is still on its way to the primary.
///
/// The client would have to ask again with the order to roll it back; it means to, but the error reaches it in a shape
/// that it does not recognise, so it asks in vain for ever.
pub(super) fn lost_transaction(error: &ClientError) -> Option<u64> {
    match error {
        ClientError::MultipleKeyErrors(errors) | ClientError::ExtractedErrors(errors) => {
            errors.iter().find_map(lost_transaction)
        }
        ClientError::PessimisticLockError { inner, .. } | ClientError::UndeterminedError(inner) => {
            lost_transaction(inner)
        }
        ClientError::KeyError(key) => key.txn_not_found.as_ref().map(|lost| lost.start_ts),
        ClientError::TxnNotFound(lost) => Some(lost.start_ts),
        _ => None,
    }
}

/// Whether TiKV refused a request for good, as it refuses to roll back what is committed.
pub(super) fn is_refusal(error: &ClientError) -> bool {
    match error {
        ClientError::MultipleKeyErrors(errors) | ClientError::ExtractedErrors(errors) => {
            errors.iter().any(is_refusal)
        }
        ClientError::KeyError(key) => !key.abort.is_empty(),
        _ => false,
    }
}

/// Whether the same request fails again, however often it is sent.
pub(super) fn is_permanent(error: &ClientError) -> bool {
    matches!(
        error,
        ClientError::Unimplemented
            | ClientError::InvalidTransactionType
            | ClientError::OperationAfterCommitError
            | ClientError::UnsupportedMode
            | ClientError::Url(_)
            | ClientError::ColumnFamilyError(_)
            | ClientError::MaxScanLimitExceeded { .. }
            | ClientError::InvalidSemver(_)
            | ClientError::KeyspaceNotFound(_)
    )
}

/// The longest text of a client's error that is passed on, in bytes: some hold whole regions.
const TEXT_BYTES: usize = 300;

/// The error's text, shortened.
pub(super) fn text(error: &ClientError) -> String {
    let mut text = error.to_string();
    if text.len() > TEXT_BYTES {
        let end = (0..=TEXT_BYTES).rev().find(|end| text.is_char_boundary(*end));
        text.truncate(end.unwrap_or(0));
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use tikv_client::{ProtoKeyError, ProtoRegionError};

    use super::*;

    fn key_error(change: impl FnOnce(&mut ProtoKeyError)) -> ClientError {
        let mut error = ProtoKeyError::default();
        change(&mut error);
        ClientError::KeyError(Box::new(error))
    }

    fn region_error(change: impl FnOnce(&mut ProtoRegionError)) -> ClientError {
        let mut error = ProtoRegionError::default();
        change(&mut error);
        ClientError::RegionError(Box::new(error))
    }

    fn conflict() -> ClientError {
        key_error(|error| error.conflict = Some(Default::default()))
    }

    fn too_large() -> ClientError {
        region_error(|error| {
            let mut entry = error.raft_entry_too_large.take().unwrap_or_default();
            entry.entry_size = 9_000_000;
            error.raft_entry_too_large = Some(entry);
        })
    }

    fn text_error() -> ClientError {
        ClientError::StringError("lost".to_owned())
    }

    #[test]
    fn commits() {
        use ClientError::{ExtractedErrors, MultipleKeyErrors, UndeterminedError};
        let pessimistic = ClientError::PessimisticLockError {
            inner: Box::new(conflict()),
            success_keys: vec![],
        };
        for (error, expected) in [
            (conflict(), Failure::Conflict),
            (MultipleKeyErrors(vec![conflict()]), Failure::Conflict),
            (
                ExtractedErrors(vec![MultipleKeyErrors(vec![conflict(), conflict()])]),
                Failure::Conflict,
            ),
            (pessimistic, Failure::Conflict),
            (
                key_error(|error| error.already_exist = Some(Default::default())),
                Failure::Conflict,
            ),
            (ClientError::OnePcFailure, Failure::NotOnePhase),
            (too_large(), Failure::TooLarge(9_000_000)),
            (ExtractedErrors(vec![too_large()]), Failure::TooLarge(9_000_000)),
            // What tells nothing.
            (UndeterminedError(Box::new(conflict())), Failure::Unclear),
            (MultipleKeyErrors(vec![]), Failure::Unclear),
            (
                MultipleKeyErrors(vec![conflict(), text_error()]),
                Failure::Unclear,
            ),
            (text_error(), Failure::Unclear),
            (
                key_error(|error| error.abort = "aborted".to_owned()),
                Failure::Unclear,
            ),
            (
                key_error(|error| error.retryable = "again".to_owned()),
                Failure::Unclear,
            ),
            (
                key_error(|error| error.txn_not_found = Some(Default::default())),
                Failure::Unclear,
            ),
            (
                key_error(|error| error.locked = Some(Default::default())),
                Failure::Unclear,
            ),
            (ClientError::ResolveLockError(vec![]), Failure::Unclear),
            (
                region_error(|error| error.server_is_busy = Some(Default::default())),
                Failure::Unclear,
            ),
            (
                region_error(|error| error.not_leader = Some(Default::default())),
                Failure::Unclear,
            ),
            (
                ClientError::Io(std::io::ErrorKind::BrokenPipe.into()),
                Failure::Unclear,
            ),
            (
                ClientError::RegionForKeyNotFound { key: vec![1] },
                Failure::Unclear,
            ),
        ] {
            assert_eq!(of_commit(&error), expected, "{error:?}");
        }
    }

    #[test]
    fn lost_transactions() {
        let lost = || {
            key_error(|error| {
                let mut lost = error.txn_not_found.take().unwrap_or_default();
                lost.start_ts = 7;
                error.txn_not_found = Some(lost);
            })
        };
        for (error, expected) in [
            (lost(), Some(7)),
            (ClientError::MultipleKeyErrors(vec![conflict(), lost()]), Some(7)),
            (ClientError::ExtractedErrors(vec![lost()]), Some(7)),
            (ClientError::UndeterminedError(Box::new(lost())), Some(7)),
            (conflict(), None),
            (text_error(), None),
        ] {
            assert_eq!(lost_transaction(&error), expected, "{error:?}");
        }
    }

    #[test]
    fn refusals() {
        let refusal = || key_error(|error| error.abort = "it is committed".to_owned());
        assert!(is_refusal(&refusal()));
        assert!(is_refusal(&ClientError::ExtractedErrors(vec![
            conflict(),
            refusal()
        ])));
        for error in [conflict(), text_error(), too_large(), key_error(|_| ())] {
            assert!(!is_refusal(&error), "{error:?}");
        }
    }

    #[test]
    fn permanent_errors() {
        assert!(is_permanent(&ClientError::Unimplemented));
        assert!(is_permanent(&ClientError::KeyspaceNotFound("x".to_owned())));
        for error in [text_error(), conflict(), too_large(), ClientError::OnePcFailure] {
            assert!(!is_permanent(&error), "{error:?}");
        }
    }

    #[test]
    fn texts_are_short() {
        let error = ClientError::StringError("ä".repeat(10_000));
        assert!(text(&error).len() <= TEXT_BYTES + '…'.len_utf8());
    }
}
