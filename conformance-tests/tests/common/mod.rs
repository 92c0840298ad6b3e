//! The memory transport as a backend of the suite: what an author of a transport writes.
#![allow(dead_code, unreachable_pub)] // each test binary uses its part

use std::sync::Arc;
use std::time::Duration;

use pontoon_conformance::harness::{Control, Harm, HarmKind, Harness, Profile, Site, Timings};
use pontoon_core::driver::{AnyTransport, BoxFuture};
use pontoon_core::{ChannelKind, Error, ErrorKind, Result};
use pontoon_memory::{Chance, Fault, MemoryConfig, MemoryServer, MemoryTransport};

pub struct Memory;

struct Server(MemoryServer);

impl Harness for Memory {
    fn name(&self) -> &str {
        "memory"
    }

    fn profiles(&self) -> Vec<Profile> {
        let profile = |name, kind| Profile::new(name, kind).with_room(5_000);
        vec![profile("memory-queue", ChannelKind::Queue), profile("memory-topic", ChannelKind::Topic)]
    }

    fn timings(&self) -> Timings {
        Timings::paused()
    }

    fn open<'a>(&'a self, _: &'a Profile, seed: u64) -> BoxFuture<'a, Result<Arc<dyn Site>>> {
        Box::pin(async move {
            let mut config = MemoryConfig::default();
            config.seed = Some(seed);
            // Some of one key are fetched ahead and wait in the client, as with most brokers.
            config.key_window = 4;
            config.max_messages = 5_000;
            config.max_body = 1 << 20;
            Ok(Arc::new(Server(MemoryServer::new(config))) as Arc<dyn Site>)
        })
    }
}

impl Site for Server {
    fn connect(&self) -> BoxFuture<'_, Result<AnyTransport>> {
        Box::pin(async { Ok(AnyTransport::new(MemoryTransport::new(&self.0))) })
    }

    fn control(&self) -> &dyn Control {
        self
    }
}

impl Control for Server {
    fn offers(&self, harm: HarmKind) -> bool {
        // It has no process and no socket.
        !matches!(harm, HarmKind::HalfOpen | HarmKind::Pause | HarmKind::Restart)
    }

    fn harm(&self, harm: Harm) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            let faults = self.0.faults();
            match harm {
                Harm::Cut => self.0.disconnect_all(),
                Harm::LoseReplies(times) => faults.set(Fault::LoseConfirm, Chance::ALWAYS.times(times)),
                Harm::BreakPublishing(times) => faults.set(Fault::DropConnection, Chance::of(0.2).times(times)),
                Harm::RefuseDeadLetters => faults.set(Fault::RefuseDeadLetter, Chance::ALWAYS),
                Harm::FailSettlements(times) => faults.set(Fault::FailSettle, Chance::ALWAYS.times(times)),
                Harm::ExpireLeases(times) => faults.set(Fault::ExpireLease, Chance::ALWAYS.times(times)),
                Harm::Delete(channel) => drop(self.0.delete(&channel)),
                other => {
                    let words = format!("memory has no process and no socket: {}", other.kind());
                    return Err(Error::new(ErrorKind::Unsupported, "hurt broker", words));
                }
            }
            Ok(())
        })
    }

    fn heal(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async {
            self.0.faults().clear();
            Ok(())
        })
    }

    fn silence_noticed_within(&self) -> Option<Duration> {
        None
    }
}
