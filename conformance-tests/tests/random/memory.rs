//! The memory transport as a stage, with its faults.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use pontoon_conformance::history::FaultKind;
use pontoon_conformance::random::{Stage, Trouble};
use pontoon_core::driver::AnyTransport;
use pontoon_memory::{Chance, Fault, MemoryConfig, MemoryServer, MemoryTransport};

struct Knobs(MemoryServer);

const KINDS: [(FaultKind, Fault); 7] = [
    (FaultKind::LostConfirm, Fault::LoseConfirm),
    (FaultKind::Duplicate, Fault::Duplicate),
    (FaultKind::DelayedDelivery, Fault::DelayDelivery),
    (FaultKind::Cut, Fault::DropConnection),
    (FaultKind::ExpiredLease, Fault::ExpireLease),
    (FaultKind::DeadLetterRefused, Fault::RefuseDeadLetter),
    (FaultKind::FailedSettle, Fault::FailSettle),
];

fn knob(kind: FaultKind) -> Fault {
    KINDS.into_iter().find(|(known, _)| *known == kind).unwrap().1
}

impl Trouble for Knobs {
    fn kinds(&self) -> Vec<FaultKind> {
        KINDS.into_iter().map(|(kind, _)| kind).collect()
    }

    fn begin(&self, kind: FaultKind, draw: u64) {
        self.0.faults().set_delivery_delay(Duration::from_millis(50));
        self.0.faults().set(knob(kind), Chance::of(0.15).times(1 + draw % 11));
    }

    fn end(&self, kind: FaultKind) {
        self.0.faults().set(knob(kind), Chance::NEVER);
    }
}

/// A server of its own; `wrap` may put something around the transport.
pub(crate) fn stage(seed: u64, wrap: impl FnOnce(AnyTransport) -> AnyTransport) -> Stage {
    let mut config = MemoryConfig::default();
    config.seed = Some(seed);
    config.lease = Duration::from_millis(200);
    let server = MemoryServer::new(config);
    let transport = wrap(AnyTransport::new(MemoryTransport::new(&server)));
    Stage { transport, trouble: Arc::new(Knobs(server)), scale: 1.0, prefix: String::new() }
}

/// Runs in paused time, on one thread.
pub(crate) fn paused<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(work)
}
