//! Consuming: from what a driver hands over to settled messages.
//!
//! [`machine`] decides, without I/O; [`Consumer`] is the shell around it.

mod batch;
mod consumer;
mod core;
mod delivery;
mod lanes;
mod machine;
mod note;
mod options;
mod pace;
mod pump;
mod shared;
mod slots;
mod successor;
mod successors;
mod unflushed;
mod wait;
mod want;

pub use batch::Batch;
pub use consumer::{Consumer, Next, Position};
pub use delivery::{Delivery, Lease};
pub use options::{ConsumerOptions, DrainReport, FlushReport, ReleasePace};

#[cfg(test)]
mod look_tests;
#[cfg(test)]
mod stuck_tests;
