//! The facade, on the memory transport, in paused time.

// Helpers are tests too: a panic is how they fail.
#![allow(clippy::unwrap_used)]

mod channels;
mod connect;
mod context;
mod dead_letters;
mod publish;
mod pull;
mod readme;
mod routes;
mod slow_look;
mod support;
mod users_view;
mod worker;
