//! Events in words.

use std::fmt;
use std::time::Duration;

use crate::history::{Answer, DeadLetter, Delivery, DrainEnd, End, FaultKind, Outcome, Publish, What};

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            What::Subscription(subscription) => {
                let start = if subscription.earliest { " with what is held" } else { "" };
                write!(f, "{} begins{start}", subscription.source)
            }
            What::Publish(publish) => publish.fmt(f),
            What::Published { id, outcome } => write!(f, "publish of {id} ends: {outcome}"),
            What::Resent { message, unknown } => {
                write!(f, "{message} is sent again{}", if *unknown { " after an unknown outcome" } else { "" })
            }
            What::Subscribe(subscribe) => write!(f, "consumer {} reads {}", subscribe.consumer, subscribe.source),
            What::Unsubscribe { consumer } => write!(f, "consumer {consumer} is closed"),
            What::Assign { consumer, partition } => write!(f, "consumer {consumer} is given partition {partition}"),
            What::Revoke { consumer, partition } => {
                write!(f, "partition {partition} is taken from consumer {consumer}")
            }
            What::Deliver(delivery) => delivery.fmt(f),
            What::Settle { lease, end } => write!(f, "lease {lease}: {end}"),
            What::Settled { lease, answer } => write!(f, "lease {lease}: {answer}"),
            What::Late { lease, answer } => write!(f, "lease {lease}: in the end {answer}"),
            What::LeaseLost { lease } => write!(f, "lease {lease} is lost"),
            What::Extended { lease, by } => {
                write!(f, "lease {lease} prolonged to {:?} from now", Duration::from_nanos(*by))
            }
            What::Flush { consumer } => write!(f, "consumer {consumer} flushes"),
            What::Flushed { consumer, stale: 0, unknown: 0 } => write!(f, "consumer {consumer}: all is final"),
            What::Flushed { consumer, stale, unknown } => {
                write!(f, "consumer {consumer}: final but {stale} stale and {unknown} unknown")
            }
            What::DeadLettered { source, message, reason } => {
                write!(f, "{source}: {message} dead-lettered{}", because(*reason))
            }
            What::DeadLetter(letter) => letter.fmt(f),
            What::Dropped { source, message, reason } => write!(f, "{source}: {message} dropped{}", because(*reason)),
            What::Spilled { source, message } => write!(f, "{source}: {message} spilled"),
            What::Redriven { source, message } => write!(f, "{source}: {message} put back"),
            What::Purged { source, count } => write!(f, "{source}: {count} messages purged"),
            What::Left { source, message } => write!(f, "{source}: {message} still held"),
            What::Drained { source, end } => write!(f, "{source} {end}"),
            What::Connected { handle } => write!(f, "{handle} is connected"),
            What::Disconnected { handle } => write!(f, "{handle} loses its connection"),
            What::Fault { kind } => write!(f, "-- fault begins: {kind}"),
            What::Heal { kind } => write!(f, "-- fault ends: {kind}"),
            What::ProcessStarted { process } => write!(f, "process {process} starts"),
            What::ProcessKilled { process } => write!(f, "-- process {process} is killed"),
            What::Note { text } => write!(f, "({text})"),
        }
    }
}

fn because(reason: Option<pontoon_core::ReasonKind>) -> String {
    reason.map_or(String::new(), |reason| format!(" as {reason}"))
}

impl fmt::Display for Publish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "publish {} ({}) to {}", self.id, self.message, self.channel)?;
        if let Some(key) = &self.key {
            write!(f, ", key {key}")?;
        }
        if let Some(due) = self.due {
            write!(f, ", not before {:?}", Duration::from_nanos(due))?;
        }
        self.ttl.map_or(Ok(()), |ttl| write!(f, ", TTL {:?}", Duration::from_nanos(ttl)))
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Ok { broker_id, position, .. } => {
                f.write_str("confirmed")?;
                broker_id.as_ref().map_or(Ok(()), |id| write!(f, " as {id}"))?;
                position.map_or(Ok(()), |position| write!(f, " at {position}"))
            }
            Outcome::Fail => f.write_str("rejected"),
            Outcome::Unknown => f.write_str("unknown"),
        }
    }
}

impl fmt::Display for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Delivery { lease, source, consumer, message, at_least, at_most, .. } = self;
        write!(f, "lease {lease}: {source} delivers {message}")?;
        self.id.map_or(Ok(()), |id| write!(f, " ({id})"))?;
        write!(f, " to consumer {consumer}, attempt {at_least}..")?;
        at_most.map_or(Ok(()), |most| write!(f, "{most}"))?;
        self.key.as_ref().map_or(Ok(()), |key| write!(f, ", key {key}"))?;
        self.broker_id.as_ref().map_or(Ok(()), |id| write!(f, ", broker's {id}"))?;
        self.position.map_or(Ok(()), |position| write!(f, ", at {position}"))
    }
}

impl fmt::Display for DeadLetter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} holds {}", self.channel, self.message)?;
        self.id.map_or(Ok(()), |id| write!(f, " ({id})"))?;
        self.source.as_ref().map_or(Ok(()), |source| write!(f, " of {source}"))?;
        f.write_str(&because(self.reason))?;
        self.at_least.map_or(Ok(()), |least| write!(f, " after at least {least} attempts"))
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            End::Ack => f.write_str("ack"),
            End::Retry { after: None } => f.write_str("retry"),
            End::Retry { after: Some(after) } => write!(f, "retry after {:?}", Duration::from_nanos(*after)),
            End::Release => f.write_str("release"),
            End::Drop => f.write_str("dropped unsettled"),
            End::DeadLetter(reason) => write!(f, "dead-letter as {reason}"),
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Answer::Recorded => "recorded",
            Answer::Done => "final",
            Answer::Stale => "stale",
            Answer::Unknown => "unknown",
            Answer::Refused => "refused",
        })
    }
}

impl fmt::Display for DrainEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DrainEnd::Empty => "is empty",
            DrainEnd::Quiet => "is quiet",
            DrainEnd::Deadline => "was not read to its end in time",
        })
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The written form and the printed one are the same names.
        let name = serde_json::to_string(self).map_err(|_| fmt::Error)?;
        f.write_str(name.trim_matches('"'))
    }
}
