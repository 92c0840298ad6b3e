//! A connection: commands out, replies in, nothing that blocks.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use pontoon_core::{Error, ErrorStatus, Result};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep, timeout};

use crate::RedisConfig;
use crate::error;
use crate::resp::{Frames, Value, command};
use crate::tls::{self, Tls};

/// Nothing is added to what waits to be sent beyond this.
pub(crate) const OUT_BOUND: usize = 1 << 20;
/// A buffer that a large message made longer than this is given back.
const OUT_KEPT: usize = 4 << 20;
/// Servers that do not speak TLS may wait for more of what they take for a command.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);

trait Stream: AsyncRead + AsyncWrite + Send {}
impl<T: AsyncRead + AsyncWrite + Send> Stream for T {}

pub(crate) struct Socket {
    stream: Pin<Box<dyn Stream>>,
    frames: Frames,
    out: Vec<u8>,
    sent: usize,
    silence: Option<Silence>,
}

/// When silence is too long.
struct Silence {
    bound: Duration,
    /// Since when an answer is waited for; `None` when none is due.
    since: Option<Instant>,
    /// Not set anew for all that is heard: it looks when it ends.
    alarm: Pin<Box<Sleep>>,
}

impl Silence {
    fn poll_too_long(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(since) = self.since else { return Poll::Pending };
        while self.alarm.as_mut().poll(cx).is_ready() {
            let over = since + self.bound;
            if over <= Instant::now() {
                return Poll::Ready(());
            }
            self.alarm.as_mut().reset(over);
        }
        Poll::Pending
    }
}

impl Socket {
    /// Connects and says who we are.
    ///
    /// # Errors
    /// `Connection`: temporary when nobody answers, permanent when who answers cannot prove to be the server; `Permission`
    /// for wrong credentials.
    pub(crate) async fn connect(config: &RedisConfig, tls: Option<&Tls>) -> Result<Self> {
        let stream = stream(config, tls).await.map_err(|cause| {
            let error = tls::refused("connect", &cause).unwrap_or_else(|| {
                error::connection("connect", "cannot connect to the server")
                    .with_status(ErrorStatus::Temporary)
                    .with_help("start it, or correct the address")
            });
            error.with("address", config.address()).with_source(cause)
        })?;
        let mut socket = Socket { stream, frames: Frames::default(), out: Vec::new(), sent: 0, silence: None };
        let mut steps = 0;
        if let Some(password) = &config.password {
            let user = config.user.as_deref().unwrap_or("default");
            command(&mut socket.out, &[b"AUTH", user.as_bytes(), password.reveal().as_bytes()]);
            steps += 1;
        }
        if config.db != 0 {
            command(&mut socket.out, &[b"SELECT", config.db.to_string().as_bytes()]);
            steps += 1;
        }
        for _ in 0..steps {
            socket.answer("connect").await?;
        }
        Ok(socket)
    }

    /// From now on no answer is waited for longer than this.
    pub(crate) fn expect_answers(&mut self, within: Duration) {
        self.silence = Some(Silence { bound: within, since: None, alarm: Box::pin(sleep(within)) });
    }

    /// Whether an answer is due, from now on if none was.
    pub(crate) fn is_due(&mut self, due: bool) {
        if let Some(silence) = &mut self.silence {
            silence.since = if due { silence.since.or_else(|| Some(Instant::now())) } else { None };
        }
    }

    /// What is to be sent.
    pub(crate) fn out(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    /// How many bytes wait to be sent.
    pub(crate) fn waiting(&self) -> usize {
        self.out.len() - self.sent
    }

    /// Sends what can be sent. Ready when all is.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>, operation: &'static str) -> Poll<Result<()>> {
        while self.sent < self.out.len() {
            match ready!(self.stream.as_mut().poll_write(cx, &self.out[self.sent..])) {
                Ok(0) => return Poll::Ready(Err(error::lost(operation))),
                Ok(sent) => self.sent += sent,
                Err(cause) => return Poll::Ready(Err(broken(operation, cause))),
            }
        }
        if self.out.capacity() > OUT_KEPT {
            self.out = Vec::new();
        }
        self.out.clear();
        self.sent = 0;
        // What TLS took may still wait in it.
        self.stream.as_mut().poll_flush(cx).map_err(|cause| broken(operation, cause))
    }

    /// The length of the next reply, which lies in [`frames`](Self::frames) then.
    pub(crate) fn poll_reply(&mut self, cx: &mut Context<'_>, operation: &'static str) -> Poll<Result<usize>> {
        loop {
            match self.frames.whole() {
                Ok(Some(len)) => return Poll::Ready(Ok(len)),
                Ok(None) => {}
                Err(what) => return Poll::Ready(Err(error::malformed(what, operation))),
            }
            let read = pin!(self.stream.read_buf(self.frames.room())).poll(cx);
            match read {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(error::lost(operation))),
                Poll::Ready(Ok(_)) => {
                    self.silence.iter_mut().for_each(|silence| silence.since = silence.since.map(|_| Instant::now()));
                }
                Poll::Ready(Err(cause)) => return Poll::Ready(Err(broken(operation, cause))),
                // Not before what is there was read: it may have waited while this process stood still.
                Poll::Pending => {
                    let Some(silence) = &mut self.silence else { return Poll::Pending };
                    ready!(silence.poll_too_long(cx));
                    return Poll::Ready(Err(error::silent(operation, silence.bound)));
                }
            }
        }
    }

    pub(crate) fn frames(&mut self) -> &mut Frames {
        &mut self.frames
    }

    /// The next reply, taken out.
    pub(crate) fn poll_take(&mut self, cx: &mut Context<'_>, operation: &'static str) -> Poll<Result<Bytes>> {
        let len = ready!(self.poll_reply(cx, operation))?;
        Poll::Ready(Ok(self.frames.take(len)))
    }

    /// Sends what waits and takes one reply; an error of the server is ours. Of several commands each has its own.
    pub(crate) async fn answer(&mut self, operation: &'static str) -> Result<Value> {
        let reply = poll_fn(|cx| {
            if let Poll::Ready(Err(error)) = self.poll_flush(cx, operation) {
                // What the server said before it closed tells more.
                return match self.poll_take(cx, operation) {
                    Poll::Ready(Ok(told)) => Poll::Ready(Ok(told)),
                    _ => Poll::Ready(Err(error)),
                };
            }
            self.poll_take(cx, operation)
        })
        .await?;
        match Value::read(&reply) {
            Ok(Value::Error(text)) => Err(error::answered(operation, &text)),
            Ok(value) => Ok(value),
            Err(what) => Err(error::malformed(what, operation)),
        }
    }
}

/// A connection that ended with an error.
fn broken(operation: &'static str, cause: std::io::Error) -> Error {
    tls::refused(operation, &cause).unwrap_or_else(|| error::lost(operation)).with_source(cause)
}

async fn stream(config: &RedisConfig, tls: Option<&Tls>) -> std::io::Result<Pin<Box<dyn Stream>>> {
    if let Some(path) = &config.socket {
        #[cfg(unix)]
        return Ok(Box::pin(tokio::net::UnixStream::connect(path).await?));
        #[cfg(not(unix))]
        return Err(std::io::Error::new(std::io::ErrorKind::Unsupported, format!("{path}: no such sockets here")));
    }
    let stream = TcpStream::connect((config.host.as_str(), config.port)).await?;
    stream.set_nodelay(true)?;
    let Some(tls) = tls else { return Ok(Box::pin(stream)) };
    let late = |_| std::io::Error::new(std::io::ErrorKind::TimedOut, "the TLS handshake did not end in time");
    Ok(Box::pin(timeout(HANDSHAKE_WITHIN, tls.over(stream)).await.map_err(late)??))
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Socket")
    }
}
