//! What a message looks like on the wire, for every broker: names, escaping, version, limits. Pure; no I/O.
//!
//! A broker carries some fields of a message in places of its own ([`Native`]); the rest travels as headers under
//! [`RESERVED_PREFIX`](crate::RESERVED_PREFIX), beside the user's headers, which keep their names. Two shapes:
//!
//! - [`write()`] and [`read()`]: one header each, for brokers that have headers. A [`Form`] says what these are like.
//! - [`pack()`] and [`unpack()`]: everything in one binary field, for brokers where many headers are dear.
//!
//! Both write into what the caller gives and allocate nothing for a message without headers. Reading is total: any
//! input gives a [`Read`], with a `problem` where the message cannot be understood; the engine dead-letters that as
//! `undecodable` (W13). What is read can always be published again: it keeps the limits of W4 and W10.
//!
//! | On the wire | Means |
//! |---|---|
//! | `pontoon-v` | Version 1. First, on everything we write. Without it no other name of ours is looked at (W12). |
//! | `pontoon-<field>` | A field of the message, or what the engine knows of its earlier lives ([`Control`]). |
//! | `pontoon-<kind>-<name>` | A user's header that cannot travel as it is: its name would be interpreted (W9), or its type would be lost (W8). |
//! | `pontoon-<kind><n>-<name>` | The same, and the (n+1)th of its name, where names must differ. |
//! | `pontoon-order` | Where a broker keeps no order: the places of the user's headers, sorted by name. |
//! | any other name | A user's header. |
//!
//! Kinds: `h` as it is, `b` bytes, `i` integer, `f` float, `t` truth value, `n` a value of a broker's own type (its
//! encoding's length in four bytes, big end first, the encoding, the raw bytes). No field's name can be taken for one
//! of these, so no user's header can pass for a field (W14).

mod collect;
mod control;
mod escape;
mod form;
mod gather;
mod headers;
mod order;
mod packed;
mod text;
mod value;
mod varint;

#[cfg(test)]
mod tests;

pub use control::Control;
pub use form::{Form, Native};
pub use gather::Read;
pub use headers::{read, write};
pub use packed::{pack, unpack};
pub use value::{Name, Value};
