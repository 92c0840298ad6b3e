//! What a record says.

use bytes::Bytes;
use pontoon_core::Message;
use pontoon_core::driver::Ensure;
use pontoon_core::wire::Read;

use crate::protocol::{Malformed, Put, Take, put_ensure, put_message, take_ensure, take_message};

/// Names a queue: a channel, or one subscription of a topic.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Queue {
    pub(crate) channel: String,
    pub(crate) subscription: Option<String>,
}

/// One thing that was done. Times are nanoseconds since 1970.
#[derive(Debug)]
pub(crate) enum Record<M> {
    /// A channel was declared, or subscriptions of it.
    Declared(Ensure),
    /// A channel was deleted with everything it held.
    Deleted { channel: String },
    /// A message was stored: in a queue, or in every subscription that the topic has by now.
    Stored { channel: String, number: u64, at: u64, message: M },
    /// It was settled for good.
    Gone { queue: Queue, number: u64 },
    /// It was handed out.
    Delivered { queue: Queue, number: u64, expired: bool },
    /// It was given back uncounted.
    Released { queue: Queue, number: u64 },
    /// It failed and comes back.
    Retried { queue: Queue, number: u64, at: u64, due: u64, failures: u32 },
}

const DECLARED: u8 = 1;
const STORED: u8 = 2;
const GONE: u8 = 3;
const DELIVERED: u8 = 4;
const RELEASED: u8 = 5;
const RETRIED: u8 = 6;
const DELETED: u8 = 7;

impl Record<&Message> {
    pub(super) fn append_to(&self, to: &mut Vec<u8>) {
        let place = |to: &mut Vec<u8>, kind: u8, queue: &Queue, number: u64| {
            to.push(kind);
            to.put_text(&queue.channel);
            to.put_option(queue.subscription.as_deref());
            to.put_u64(number);
        };
        match self {
            Record::Declared(ensure) => {
                to.push(DECLARED);
                put_ensure(to, ensure);
            }
            Record::Deleted { channel } => {
                to.push(DELETED);
                to.put_text(channel);
            }
            Record::Stored { channel, number, at, message } => {
                to.push(STORED);
                to.put_text(channel);
                to.put_u64(*number);
                to.put_u64(*at);
                put_message(to, message);
            }
            Record::Gone { queue, number } => place(to, GONE, queue, *number),
            Record::Delivered { queue, number, expired } => {
                place(to, DELIVERED, queue, *number);
                to.push(u8::from(*expired));
            }
            Record::Released { queue, number } => place(to, RELEASED, queue, *number),
            Record::Retried { queue, number, at, due, failures } => {
                place(to, RETRIED, queue, *number);
                to.put_u64(*at);
                to.put_u64(*due);
                to.put_u32(*failures);
            }
        }
    }
}

impl Record<Read> {
    pub(super) fn take(record: Bytes) -> Result<Self, Malformed> {
        let from = &mut Take(record);
        let queue = |from: &mut Take| Ok::<_, Malformed>(Queue { channel: from.text()?, subscription: from.option()? });
        let record = match from.u8()? {
            DECLARED => Record::Declared(take_ensure(from)?),
            DELETED => Record::Deleted { channel: from.text()? },
            STORED => Record::Stored {
                channel: from.text()?,
                number: from.u64()?,
                at: from.u64()?,
                message: take_message(from)?,
            },
            GONE => Record::Gone { queue: queue(from)?, number: from.u64()? },
            DELIVERED => Record::Delivered { queue: queue(from)?, number: from.u64()?, expired: from.flag()? },
            RELEASED => Record::Released { queue: queue(from)?, number: from.u64()? },
            RETRIED => Record::Retried {
                queue: queue(from)?,
                number: from.u64()?,
                at: from.u64()?,
                due: from.u64()?,
                failures: from.u32()?,
            },
            _ => return Err(Malformed("a record is of an unknown kind")),
        };
        from.end()?;
        Ok(record)
    }
}
