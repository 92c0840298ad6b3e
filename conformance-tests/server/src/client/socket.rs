//! A connection: bytes out, frames in, nothing that blocks.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pontoon_core::{Error, ErrorKind, ErrorStatus, Result};
use std::future::Future;
use tokio::io::{AsyncReadExt, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};

use crate::protocol::{FRAME_OVERHEAD, Frames, GREETING, Kind, Malformed, Take, take_error};

/// Nothing is added to what waits to be sent beyond this.
pub(super) const OUT_BOUND: usize = 1 << 20;
/// The server's first frame is small.
const WELCOME: u64 = 1024;

/// What a server says first.
#[derive(Clone, Copy, Debug)]
pub(super) struct Welcome {
    pub(super) max_body: u64,
    pub(super) lease: Duration,
    /// The number of this connection; no other of the same server has it.
    pub(super) connection: u32,
    pub(super) survives_power_loss: bool,
    /// How often it says that it is there, where it publishes or consumes.
    pub(super) beat: Duration,
}

#[derive(Debug)]
pub(super) struct Socket {
    stream: TcpStream,
    frames: Frames,
    out: Vec<u8>,
    sent: usize,
    silence: Option<Silence>,
}

/// When silence is too long.
#[derive(Debug)]
struct Silence {
    bound: Duration,
    heard: Instant,
    /// Not set anew for all that is heard: it looks when it ends.
    alarm: Pin<Box<Sleep>>,
}

impl Silence {
    fn poll_too_long(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.alarm.as_mut().poll(cx).is_ready() {
            let over = self.heard + self.bound;
            if over <= Instant::now() {
                return Poll::Ready(());
            }
            self.alarm.as_mut().reset(over);
        }
        Poll::Pending
    }
}

impl Socket {
    /// Connects, and greets.
    ///
    /// # Errors
    /// `Connection` (temporary) when nobody listens or who listens leaves; `Codec` when it is no memory server.
    pub(super) async fn connect(address: &str) -> Result<(Self, Welcome)> {
        let cannot = |error: std::io::Error| {
            Error::new(ErrorKind::Connection, "connect", format!("cannot connect to the memory server: {error}"))
                .with_status(ErrorStatus::Temporary)
                .with("address", address)
                .with_help("start it, or correct host and port")
        };
        let stream = TcpStream::connect(address).await.map_err(cannot)?;
        stream.set_nodelay(true).map_err(cannot)?;
        let mut socket =
            Socket { stream, frames: Frames::new(WELCOME), out: GREETING.to_vec(), sent: 0, silence: None };
        let mut welcome = socket.answer(Kind::Welcome, "connect").await?;
        let mut read = || {
            Ok(Welcome {
                max_body: welcome.u64()?,
                lease: Duration::from_nanos(welcome.u64()?),
                connection: welcome.u32()?,
                survives_power_loss: welcome.flag()?,
                beat: Duration::from_nanos(welcome.u64()?),
            })
        };
        let welcome = read().map_err(|what| malformed(what, "connect"))?;
        socket.frames.set_longest(welcome.max_body.saturating_add(2 * FRAME_OVERHEAD));
        Ok((socket, welcome))
    }

    /// From now on the server says so often that it is there: a connection that is silent for twice as long is lost.
    pub(super) fn expect_beats(&mut self, every: Duration) {
        let (bound, heard) = (every.saturating_mul(2), Instant::now());
        self.silence = Some(Silence { bound, heard, alarm: Box::pin(sleep(bound)) });
    }

    /// What is to be sent.
    pub(super) fn out(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    /// How many bytes wait to be sent.
    pub(super) fn waiting(&self) -> usize {
        self.out.len() - self.sent
    }

    /// Sends what can be sent. Ready when all is.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        while self.sent < self.out.len() {
            match ready!(Pin::new(&mut self.stream).poll_write(cx, &self.out[self.sent..])) {
                Ok(0) => return Poll::Ready(Err(lost("send"))),
                Ok(sent) => self.sent += sent,
                Err(error) => return Poll::Ready(Err(lost("send").with_source(error))),
            }
        }
        self.out.clear();
        self.sent = 0;
        Poll::Ready(Ok(()))
    }

    /// The next frame.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<(Kind, Take)>> {
        loop {
            if let Some((kind, mut frame)) = self.frames.next().map_err(|what| malformed(what, "receive"))? {
                if kind == Kind::Failed {
                    let told = take_error(&mut frame, "use connection");
                    return Poll::Ready(Err(told.unwrap_or_else(|what| malformed(what, "receive"))));
                }
                if kind == Kind::Beat {
                    continue;
                }
                return Poll::Ready(Ok((kind, frame)));
            }
            let room = self.frames.room();
            let read = pin!(self.stream.read_buf(room)).as_mut().poll(cx);
            match read {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(lost("receive"))),
                Poll::Ready(Ok(_)) => self.silence.iter_mut().for_each(|silence| silence.heard = Instant::now()),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(lost("receive").with_source(error))),
                // Not before what is there was read: it may have waited while this process stood still.
                Poll::Pending => {
                    let Some(silence) = &mut self.silence else { return Poll::Pending };
                    ready!(silence.poll_too_long(cx));
                    return Poll::Ready(Err(silent(silence.bound)));
                }
            }
        }
    }

    /// Sends what waits, and waits for one answer of this kind.
    pub(super) async fn answer(&mut self, wanted: Kind, operation: &'static str) -> Result<Take> {
        let (kind, frame) = poll_fn(|cx| {
            if let Poll::Ready(Err(error)) = self.poll_flush(cx) {
                // What the server said before it closed tells more.
                return match self.poll_next(cx) {
                    Poll::Ready(told) => Poll::Ready(told),
                    Poll::Pending => Poll::Ready(Err(error)),
                };
            }
            self.poll_next(cx)
        })
        .await?;
        if kind == wanted { Ok(frame) } else { Err(malformed(Malformed("another answer was due"), operation)) }
    }
}

/// The connection is gone.
pub(super) fn lost(operation: &'static str) -> Error {
    Error::new(ErrorKind::Connection, operation, "the connection to the memory server was lost")
}

/// Nothing was heard for longer than can be.
fn silent(bound: Duration) -> Error {
    let words = format!("the memory server was silent for {bound:?}: the connection is given up");
    Error::new(ErrorKind::Connection, "receive", words)
}

/// The connection was closed here.
pub(super) fn closed(operation: &'static str) -> Error {
    Error::new(ErrorKind::Closed, operation, "this connection to the memory server was closed")
}

/// The server said what cannot be understood.
pub(super) fn malformed(what: Malformed, operation: &'static str) -> Error {
    Error::new(ErrorKind::Codec, operation, format!("an answer of the server cannot be read: {what}"))
        .with_help("use client and server of the same version, and a port on which a memory server listens")
}
