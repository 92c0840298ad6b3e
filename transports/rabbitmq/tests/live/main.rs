//! What a channel is at real brokers: who may use it, over what, with whom, and who reads which part of it.
#![allow(unreachable_pub, clippy::unwrap_used)]

mod blocked;
mod common;
mod foreign;
mod rights;
mod security;
mod shards;
