//! Proves of a transport what the contract promises.
#![doc = include_str!("../README.md")]

pub mod checker;
pub mod history;
