//! Broker.

/// A connection to a broker.
#[derive(Clone, Debug)]
pub struct Broker(());
