//! The contract, the driver traits and the engine of pontoon.
//!
//! Applications use the `pontoon` crate. This one is for authors of transports and of tools: it holds the vocabulary
//! that every broker shares, the [`driver`] traits that a transport implements, and the [`engine`] that gives every
//! transport the same guarantees. It knows no broker.

pub mod driver;
pub mod engine;
pub mod settings;
pub mod wire;

mod capability;
mod channel;
mod error;
mod event;
mod failure;
mod header;
mod id;
mod key;
mod message;
mod moment;
mod outcome;
mod requirement;
mod retry;
mod text;

pub use capability::{Behaviour, Capabilities, Capability, Level, Limits};
pub use channel::{
    Channel, ChannelKind, ChannelName, DEFAULT_DELIVERY_CEILING, DeadLetterPolicy, MAX_NAME, MAX_NATIVE_NAME, Order,
    Retention, Source, Spill, Start, Subscription,
};
pub use error::{Error, ErrorKind, ErrorStatus, Result};
pub use event::{Event, EventHook, EventKind};
pub use failure::{Attempt, DeadLetterInfo, MAX_ERROR_TEXT, ReasonKind, bounded_error_text};
pub use header::{HeaderValue, Headers, MAX_HEADER_BYTES, MAX_HEADERS, RESERVED_PREFIX};
pub use id::{IdGenerator, MessageId, os_seed};
pub use key::Key;
pub use message::{Delay, History, MAX_DURATION, MAX_TEXT, Message};
pub use moment::Moment;
pub use outcome::{BrokerId, PublishOutcome, Receipt, Rejection};
pub use requirement::{DeliveryGuarantee, Requirement, Requirements};
pub use retry::Retry;
pub use text::Text;

/// The bytes type of bodies.
pub use bytes::Bytes;
