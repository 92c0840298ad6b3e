//! Publishers and consumers that write down what they do: the engine's, with each call recorded before it is made and
//! after it returned.
//!
//! A [`Run`] holds what belongs to one run: its number, its recorder, its environment. It opens [`TappedPublisher`]s and
//! [`TappedConsumer`]s on any transport. [`drain_source`] and [`read_dead_letters`] end a run.

mod consumer;
mod consuming;
mod delivery;
mod drain;
mod hook;
mod letters;
mod publisher;
mod publishing;
mod spec;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use pontoon_core::Moment;
use pontoon_core::engine::Environment;

pub use consumer::TappedConsumer;
pub(crate) use consuming::{ConsumerRecord, LeaseRecord};
pub use delivery::TappedDelivery;
pub use drain::{Patience, drain_source, read_dead_letters};
pub(crate) use hook::PublisherHook;
pub(crate) use letters::found_dead;
pub use publisher::TappedPublisher;
pub(crate) use publishing::PublisherRecord;
pub use spec::Spec;

use crate::history::{Name, Recorder};

/// One run: its number, its record, its environment. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Run(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    number: u64,
    recorder: Recorder,
    environment: Environment,
    handles: AtomicU32,
}

impl Run {
    /// A run of this number, which its bodies carry. The environment gives seeds and the clock; its hook is not asked.
    #[must_use]
    pub fn new(number: u64, recorder: Recorder, environment: Environment) -> Self {
        Run::part(number, recorder, environment, 1)
    }

    /// The part of a run that another process of it plays. Its publishers and consumers are numbered from here on: no two
    /// processes may use one number.
    #[must_use]
    pub fn part(number: u64, recorder: Recorder, environment: Environment, first_handle: u32) -> Self {
        Run(Arc::new(Inner { number, recorder, environment, handles: AtomicU32::new(first_handle) }))
    }

    /// Its number.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.0.number
    }

    /// Its record.
    #[must_use]
    pub fn recorder(&self) -> &Recorder {
        &self.0.recorder
    }

    /// What its handles are opened in.
    #[must_use]
    pub fn environment(&self) -> &Environment {
        &self.0.environment
    }

    /// Publishers and consumers are numbered together, from 1, in the order of opening.
    fn next_handle(&self) -> u32 {
        self.0.handles.fetch_add(1, Ordering::Relaxed)
    }

    /// A wall-clock time as milliseconds since the run's start; `None` for what is unknown.
    fn since_start(&self, wall_ms: Option<u64>) -> Option<i64> {
        let start = self.0.environment.clock().wall_ms(Moment::ZERO);
        wall_ms.and_then(|wall| i64::try_from(i128::from(wall) - i128::from(start)).ok())
    }
}

/// A key as a history has it.
fn key_name(key: Option<&pontoon_core::Key>) -> Option<Name> {
    key.map(|key| key.as_bytes().into())
}

/// What the broker calls a message, as a history has it.
fn broker_name(id: &pontoon_core::BrokerId) -> Option<Name> {
    (*id != pontoon_core::BrokerId::None).then(|| id.to_string().into())
}
