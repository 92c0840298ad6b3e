#![doc = include_str!("../README.md")]

mod client;
mod fixture;
mod journal;
mod protocol;
mod server;

pub use client::{ServerProducer, ServerReceiver, ServerSettler, ServerTransport, connect};
pub use fixture::{MemoryServer, ServerOptions};
pub use journal::Sync;
pub use server::{Server, ServerConfig};
