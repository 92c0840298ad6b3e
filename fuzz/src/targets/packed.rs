//! The packed form of a message: whatever comes, a message comes out that could be published again, and its own packed
//! form means the same message.

use pontoon_core::Message;
use pontoon_core::wire::{Native, pack, unpack};

pub(super) fn run(input: &[u8]) -> String {
    let read = unpack(Message::new(""), input);
    assert!(read.message.validate().is_ok(), "{:?} cannot be published", read.message);
    let mut packed = Vec::new();
    pack(&read.message, &Native::NONE, &mut packed);
    let again = unpack(Message::new(""), &packed);
    assert!(again.problem.is_none(), "{:?} does not travel: {:?}", read.message, again.problem);
    let mut twice = Vec::new();
    pack(&again.message, &Native::NONE, &mut twice);
    assert_eq!(packed, twice, "{:?} came back as {:?}", read.message, again.message);
    format!("{:?} {}", read.problem.map(|problem| problem.kind()), again.message.headers.len())
}
