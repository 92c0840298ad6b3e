//! What a handler may ask for beside its payload.

use std::ops::Deref;
use std::time::{Duration, SystemTime};

use pontoon_core::engine::Lease;
use pontoon_core::{
    Attempt, DeadLetterInfo, Error, ErrorKind, HeaderValue, Headers, Key, MessageId, Result, Source, Text,
};

use super::{Failure, Job};

/// Something a handler takes as an argument after the payload, on a worker whose state is `S`.
///
/// Implement it for types of your own, for instance for the authenticated tenant of a message.
#[diagnostic::on_unimplemented(
    message = "a handler cannot take `{Self}` as an argument after its payload",
    label = "not an extractor",
    note = "the payload comes first; after it come, by value: `Attempt`, `State<X>`, `Meta`, `Headers`, `Header<H>`, \
            `Option<Header<H>>`, `Lease`, or a type that implements `Extract`"
)]
pub trait Extract<S>: Sized {
    /// Takes it out of the job or the state.
    ///
    /// # Errors
    /// A [`Failure`] ends the attempt before the handler starts; use [`Failure::undecodable`] for a message that lacks
    /// what the handler needs.
    fn extract(job: &Job, state: &S) -> Result<Self, Failure>;
}

/// A part of the worker's state: the state itself, or anything the state can give out through [`FromRef`].
///
/// A worker without that state does not compile.
#[derive(Clone, Copy, Debug, Default)]
pub struct State<X>(pub X);

impl<X> Deref for State<X> {
    type Target = X;
    fn deref(&self) -> &X {
        &self.0
    }
}

/// What a state `S` can give out. A state gives out clones of itself; implement this for its parts.
///
/// ```
/// use pontoon::{FromRef, State};
/// #[derive(Clone)]
/// struct Board;
/// #[derive(Clone)]
/// struct App { board: Board }
/// impl FromRef<App> for Board {
///     fn from_ref(app: &App) -> Board {
///         app.board.clone()
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "the worker's state `{S}` does not give out a `{Self}`",
    label = "no `{Self}` in the worker's state",
    note = "call `.state(…)` with a `{Self}` on the worker before `.handle(…)`, or implement `FromRef<{S}>` for `{Self}`"
)]
pub trait FromRef<S> {
    /// Takes it out of the state.
    fn from_ref(state: &S) -> Self;
}

impl<S: Clone> FromRef<S> for S {
    fn from_ref(state: &S) -> S {
        state.clone()
    }
}

impl<S, X: FromRef<S>> Extract<S> for State<X> {
    fn extract(_: &Job, state: &S) -> Result<Self, Failure> {
        Ok(State(X::from_ref(state)))
    }
}

impl<S> Extract<S> for Attempt {
    fn extract(job: &Job, _: &S) -> Result<Self, Failure> {
        Ok(job.attempt)
    }
}

/// The delivery's own controls: prolong the lease, see that it is lost, fence effects by its generation.
impl<S> Extract<S> for Lease {
    fn extract(job: &Job, _: &S) -> Result<Self, Failure> {
        Ok(job.lease.clone())
    }
}

impl<S> Extract<S> for Headers {
    fn extract(job: &Job, _: &S) -> Result<Self, Failure> {
        Ok(job.message.headers.clone())
    }
}

/// One header of the message, by its type.
///
/// A message without it, or with a value that cannot be read, is dead-lettered as `undecodable`. As
/// `Option<Header<H>>` it may be missing.
///
/// ```
/// use pontoon::{FromHeader, Header, HeaderValue, prelude::*};
/// struct Tenant(String);
/// impl FromHeader for Tenant {
///     const NAME: &'static str = "tenant";
///     fn from_header(value: &HeaderValue) -> Option<Self> {
///         value.as_str().map(|name| Tenant(name.to_owned()))
///     }
/// }
/// async fn on_flight(flight: Raw, Header(Tenant(tenant)): Header<Tenant>) -> Outcome {
///     println!("{} bytes for {tenant}", flight.len());
///     done()
/// }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Header<H>(pub H);

/// A typed header.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a typed header",
    note = "implement `FromHeader` for it: a header name, and how its value is read"
)]
pub trait FromHeader: Sized {
    /// Its name, case-sensitive.
    const NAME: &'static str;
    /// Reads its first value; `None` when it is not of the form expected.
    fn from_header(value: &HeaderValue) -> Option<Self>;
}

impl<S, H: FromHeader> Extract<S> for Option<Header<H>> {
    fn extract(job: &Job, _: &S) -> Result<Self, Failure> {
        let Some(value) = job.message.headers.get(H::NAME) else { return Ok(None) };
        match H::from_header(value) {
            Some(header) => Ok(Some(Header(header))),
            None => Err(header_failure(H::NAME, "cannot be read as the type the handler takes")),
        }
    }
}

impl<S, H: FromHeader> Extract<S> for Header<H> {
    fn extract(job: &Job, state: &S) -> Result<Self, Failure> {
        Option::<Header<H>>::extract(job, state)?.ok_or_else(|| header_failure(H::NAME, "is missing"))
    }
}

fn header_failure(name: &'static str, what: &str) -> Failure {
    Failure::undecodable(Error::new(ErrorKind::Codec, "read header", format!("header `{name}` {what}")))
}

/// What is known about the message beside its payload.
#[derive(Clone, Debug)]
pub struct Meta(Job);

impl Meta {
    /// Its identity: the same over resend, redelivery, retry and dead-lettering. What was handled can be remembered
    /// by it.
    #[must_use]
    pub fn id(&self) -> &MessageId {
        &self.0.message.id
    }

    /// The name of its payload type; empty when it carries none.
    #[must_use]
    pub fn type_name(&self) -> &Text {
        &self.0.message.type_name
    }

    /// Its ordering key.
    #[must_use]
    pub fn key(&self) -> Option<&Key> {
        self.0.message.key.as_ref()
    }

    /// Its headers.
    #[must_use]
    pub fn headers(&self) -> &Headers {
        &self.0.message.headers
    }

    /// The media type of its body; empty when unknown.
    #[must_use]
    pub fn content_type(&self) -> &Text {
        &self.0.message.content_type
    }

    /// When it was published, by the publisher's clock; `None` when unknown.
    #[must_use]
    pub fn timestamp(&self) -> Option<SystemTime> {
        match self.0.message.timestamp_ms {
            0 => None,
            millis => SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(millis)),
        }
    }

    /// The conversation it belongs to.
    #[must_use]
    pub fn correlation(&self) -> Option<&Text> {
        self.0.message.correlation()
    }

    /// The message that caused it.
    #[must_use]
    pub fn causation(&self) -> Option<&Text> {
        self.0.message.causation()
    }

    /// The channel that replies should go to.
    #[must_use]
    pub fn reply_to(&self) -> Option<&Text> {
        self.0.message.reply_to()
    }

    /// Why and from where it was dead-lettered, when it is read from a dead-letter channel.
    #[must_use]
    pub fn dead_letter(&self) -> Option<&DeadLetterInfo> {
        self.0.message.history().dead_letter.as_deref()
    }

    /// How often it was put back from a dead-letter channel.
    #[must_use]
    pub fn redrives(&self) -> u8 {
        self.0.message.history().hops
    }

    /// Which attempt this is.
    #[must_use]
    pub fn attempt(&self) -> Attempt {
        self.0.attempt
    }

    /// The queue or subscription it was read from.
    #[must_use]
    pub fn source(&self) -> &Source {
        &self.0.source
    }
}

impl<S> Extract<S> for Meta {
    fn extract(job: &Job, _: &S) -> Result<Self, Failure> {
        Ok(Meta(job.clone()))
    }
}
