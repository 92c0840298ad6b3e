#![doc = include_str!("../README.md")]

mod cli;
mod client;
mod fixture;
mod hurt;
mod journal;
mod program;
mod protocol;
mod server;

pub use cli::main;
pub use client::{ServerProducer, ServerReceiver, ServerSettler, ServerTransport, connect};
pub use fixture::{MemoryServer, ServerOptions};
pub use hurt::Hurt;
pub use journal::Sync;
pub use program::run_if_asked;
pub use server::{Server, ServerConfig};
