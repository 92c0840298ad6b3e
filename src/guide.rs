//! The pages of `docs/guide/` as doc tests: a sample that does not compile, or fails, fails the test command.

#[doc = include_str!("../docs/guide/channels.md")]
mod channels {}

#[doc = include_str!("../docs/guide/publishing.md")]
mod publishing {}

#[doc = include_str!("../docs/guide/failures.md")]
mod failures {}

#[doc = include_str!("../docs/guide/shutdown.md")]
mod shutdown {}

#[doc = include_str!("../docs/guide/testing.md")]
mod testing {}
