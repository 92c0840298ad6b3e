//! A message is delivered again after its ack.

use pontoon_core::driver::{Disposition, Token};

use super::Choice;

/// Some acks give the message back instead: the engine is told *recorded*, and the broker delivers it again.
pub(super) fn tamper<'a>(choice: &Choice, what: &[(Token, Disposition<'a>)]) -> Vec<(Token, Disposition<'a>)> {
    what.iter()
        .map(|&(token, disposition)| match disposition {
            Disposition::Ack if choice.next() => (token, Disposition::Release),
            _ => (token, disposition),
        })
        .collect()
}
