//! Hurting the broker, and writing down what was done to whom.

use pontoon_core::MessageId;

use super::{Broken, Held, Place, Reader, Scene, Taken};
use crate::harness::{Control, Harm};
use crate::history::{FaultKind, Handle, SourceName, What};

impl Scene {
    /// What can be done to the broker.
    #[must_use]
    pub fn control(&self) -> &dyn Control {
        self.0.site.control()
    }

    /// Hurts the broker, and writes it down.
    ///
    /// # Errors
    /// When it cannot be done: the run is then indeterminate.
    pub async fn harm(&self, harm: Harm) -> Held {
        if let Some(kind) = fault_of(&harm) {
            self.recorder().record(What::Fault { kind });
            self.used().harms.push(kind);
        }
        self.control().harm(harm).await.map_err(|error| Broken::indeterminate(format!("{error}")))
    }

    /// Ends every harm that lasts.
    ///
    /// # Errors
    /// When it cannot be done: the run is then indeterminate.
    pub async fn heal(&self) -> Held {
        self.control().heal().await.map_err(|error| Broken::indeterminate(format!("{error}")))?;
        let healed = std::mem::take(&mut self.used().harms);
        for kind in healed {
            self.recorder().record(What::Heal { kind });
        }
        Ok(())
    }

    /// Writes down that the consumers of these deliveries were killed: what they held comes again.
    pub(crate) fn killed(&self, held: &[Taken]) {
        let mut numbers: Vec<u32> = held.iter().map(Taken::consumer).collect();
        numbers.dedup();
        for number in numbers {
            self.recorder().record(What::Disconnected { handle: Handle::Consumer(number) });
        }
    }

    /// Writes down that this consumer was killed.
    pub(crate) fn killed_reader(&self, reader: &Reader) {
        self.recorder().record(What::Disconnected { handle: Handle::Consumer(reader.number()) });
    }

    /// Writes down that a dead letter was put back.
    pub(crate) fn redriven(&self, place: &Place, id: &MessageId) -> Held {
        let source = SourceName::from(&place.source()?);
        self.recorder().record(What::Redriven { source, message: id.to_string().into() });
        Ok(())
    }

    /// Writes down that so many messages were purged.
    pub(crate) fn purged(&self, place: &Place, count: u64) -> Held {
        let source = SourceName::from(&place.source()?);
        self.recorder().record(What::Purged { source, count });
        Ok(())
    }
}

fn fault_of(harm: &Harm) -> Option<FaultKind> {
    Some(match harm {
        Harm::Cut | Harm::BreakPublishing(_) => FaultKind::Cut,
        Harm::HalfOpen => FaultKind::HalfOpen,
        Harm::Pause => FaultKind::BrokerPaused,
        Harm::Restart => FaultKind::BrokerKilled,
        Harm::LoseReplies(_) => FaultKind::LostConfirm,
        Harm::RefuseDeadLetters => FaultKind::DeadLetterRefused,
        Harm::FailSettlements(_) => FaultKind::FailedSettle,
        Harm::ExpireLeases(_) => FaultKind::ExpiredLease,
        Harm::Delete(_) => return None,
    })
}
