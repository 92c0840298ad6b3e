//! Engine (in the making).
