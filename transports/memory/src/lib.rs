//! The in-process transport of pontoon: the reference model of its contract.
#![doc = include_str!("../README.md")]

mod clock;
mod config;
mod consumer;
mod error;
mod extensions;
mod faults;
mod link;
mod producer;
mod queue;
mod replace;
mod server;
mod topology;
mod transport;
mod wakes;

pub use config::MemoryConfig;
pub use consumer::{MemoryReceiver, MemorySettler};
pub use faults::{Chance, Fault, Faults};
pub use producer::MemoryProducer;
pub use queue::{MessageState, QueueSnapshot, Restored, StoredMessage, Totals};
pub use server::MemoryServer;
pub use transport::MemoryTransport;
