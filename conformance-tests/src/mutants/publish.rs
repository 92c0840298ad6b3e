//! Mutants of publishing.

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use pontoon_core::driver::Incoming;
use pontoon_core::{BrokerId, Channel, Error, ErrorKind, Message, MessageId, PublishOutcome, Receipt, Rejection};

use super::{Defect, Fate, Seat, has_key, locked};

mutants! {
    "PUB-CONFIRM" LosesOneInMany: "after 1,000 messages one in seven is confirmed and dropped" by ["lost-confirmed"];
    "PUB-PHANTOM" Invents: "a message that nobody published appears" by ["phantom"];
    "PUB-REJECT" TimeoutIsRejected: "a lost reply is reported as rejected" by ["rejected-visible"];
    "PUB-UNROUTABLE" NotMandatory: "what no queue takes is confirmed" by ["confirmed-unroutable"];
    "PUB-RECEIPT" SameReceipt: "messages have the same receipt" by ["receipt-repeated"];
    "PUB-EARLY" ConfirmsOnWrite: "a message is confirmed before it is stored" by ["lost-confirmed"];
    "PUB-DROP" Unsends: "dropping the future of a publish takes the message back" by ["unsent"];
}

#[derive(Default)]
struct LosesOneInMany(AtomicU64);

impl Defect for LosesOneInMany {
    fn submit(&self, _: &Channel, message: Message) -> Fate {
        let number = self.0.fetch_add(1, Ordering::Relaxed);
        if number > 1_000 && number.is_multiple_of(7) && message.key.is_none() {
            return Fate::Told(PublishOutcome::Confirmed(Receipt::default()), None);
        }
        Fate::Pass(message)
    }
}

#[derive(Default)]
struct Invents(AtomicU64, Mutex<HashSet<String>>);

impl Defect for Invents {
    fn submit(&self, channel: &Channel, message: Message) -> Fate {
        let channels = {
            let mut channels = locked(&self.1);
            channels.insert(channel.name.to_string());
            channels.len()
        };
        let number = self.0.fetch_add(1, Ordering::Relaxed);
        if number % 150 != 149 || channels != 2 || channel.order.is_ordered() {
            return Fate::Pass(message);
        }
        // Of a publisher of this run that does not exist.
        let id = message.id.to_string();
        let run = id.split('-').next().unwrap_or_default();
        let invented = message.clone().with_id(format!("{run}-4000000000.0"));
        Fate::Beside(message, vec![invented])
    }
}

#[derive(Default)]
struct TimeoutIsRejected;

impl Defect for TimeoutIsRejected {
    fn at_death(&self, _: &Channel) -> Option<PublishOutcome> {
        let lost = Error::new(ErrorKind::Connection, "publish", "the connection was lost");
        Some(PublishOutcome::Rejected(Rejection::TryAgain(lost)))
    }

    fn outcome(&self, _: &Channel, _: &MessageId, outcome: PublishOutcome) -> Option<PublishOutcome> {
        Some(match outcome {
            PublishOutcome::Unknown(error) => PublishOutcome::Rejected(Rejection::TryAgain(error)),
            other => other,
        })
    }
}

#[derive(Default)]
struct NotMandatory;

impl Defect for NotMandatory {
    fn outcome(&self, _: &Channel, _: &MessageId, outcome: PublishOutcome) -> Option<PublishOutcome> {
        Some(match outcome {
            PublishOutcome::Rejected(Rejection::Refused(_)) => PublishOutcome::Confirmed(Receipt::default()),
            PublishOutcome::Confirmed(mut receipt) => {
                receipt.routed = receipt.routed.map(|_| true);
                PublishOutcome::Confirmed(receipt)
            }
            other => other,
        })
    }
}

#[derive(Default)]
struct SameReceipt(Mutex<HashSet<MessageId>>);

impl Defect for SameReceipt {
    fn submit(&self, _: &Channel, message: Message) -> Fate {
        if has_key(&message, "receipt") {
            locked(&self.0).insert(message.id.clone());
        }
        Fate::Pass(message)
    }

    fn outcome(&self, _: &Channel, id: &MessageId, outcome: PublishOutcome) -> Option<PublishOutcome> {
        Some(match outcome {
            PublishOutcome::Confirmed(mut receipt) if locked(&self.0).contains(id) => {
                receipt.broker_id = BrokerId::Number(0);
                PublishOutcome::Confirmed(receipt)
            }
            other => other,
        })
    }
}

/// Tells at once, and passes a message on only when the next one comes.
#[derive(Default)]
struct ConfirmsOnWrite(Mutex<Vec<Message>>);

impl Defect for ConfirmsOnWrite {
    fn submit(&self, _: &Channel, message: Message) -> Fate {
        if !has_key(&message, "early") {
            return Fate::Pass(message);
        }
        let mut held = locked(&self.0);
        held.push(message);
        let late = if held.len() > 200 { Some(held.remove(0)) } else { None };
        Fate::Told(PublishOutcome::Confirmed(Receipt::default()), late)
    }
}

#[derive(Default)]
struct Unsends(Mutex<HashSet<MessageId>>);

impl Defect for Unsends {
    fn dropped(&self, id: &MessageId) {
        locked(&self.0).insert(id.clone());
    }

    fn arrive(&self, _: Seat<'_>, incoming: &mut Incoming) -> usize {
        usize::from(!locked(&self.0).contains(&incoming.message.id))
    }
}
