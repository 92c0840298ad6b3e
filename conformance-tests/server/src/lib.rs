#![doc = include_str!("../README.md")]

mod cli;
mod client;
mod fixture;
mod hurt;
mod journal;
mod protocol;
mod server;

pub use cli::main;
pub use client::{ServerProducer, ServerReceiver, ServerSettler, ServerTransport, connect};
pub use fixture::{MemoryServer, ServerOptions, run_if_asked};
pub use hurt::Hurt;
pub use journal::Sync;
pub use server::{Server, ServerConfig};
