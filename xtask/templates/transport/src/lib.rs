//! The @name@ transport of pontoon.
//!
//! Each file has one job, as in every transport: `config` is what a user can set, `transport` declares and opens,
//! `publisher` sends, `consumer` receives and settles, `error` words what went wrong.

mod config;
mod consumer;
mod error;
mod publisher;
mod transport;

use pontoon_core::Result;
use pontoon_core::driver::AnyTransport;
use pontoon_core::driver::adapter::Adapter;

pub use config::@Name@Config;
pub use transport::@Name@Transport;

/// Connects with these settings.
///
/// # Errors
/// When the broker cannot be reached.
pub async fn connect(config: @Name@Config) -> Result<AnyTransport> {
    Ok(AnyTransport::new(Adapter::new(@Name@Transport::connect(config).await?)))
}
