//! Adapter (in the making).
