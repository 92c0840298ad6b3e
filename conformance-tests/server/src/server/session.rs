//! One connection: greeting, then what its first request makes of it.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use pontoon_core::{Error, ErrorKind, Result};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;
use tokio::time::{MissedTickBehavior, timeout};

use super::core::Core;
use super::outbox::Outbox;
use super::{consumer, control, producer};
use crate::protocol::{FRAME_OVERHEAD, Frames, GREETING, Kind, Malformed, Put, Take, frame, put_error};

/// How long a connection that was told that it ends may take to hear it.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Requests as they arrive.
pub(super) struct Requests {
    from: OwnedReadHalf,
    frames: Frames,
}

impl Requests {
    /// The next; `None` when the client ended the connection.
    pub(super) async fn next(&mut self) -> Result<Option<(Kind, Take)>> {
        loop {
            if let Some(frame) = self.ready()? {
                return Ok(Some(frame));
            }
            match self.from.read_buf(self.frames.room()).await {
                Ok(0) if self.frames.is_torn() => return Err(malformed(Malformed("the connection ended in a frame"))),
                // A client that was killed is no different from one that left.
                Ok(0) | Err(_) => return Ok(None),
                Ok(_) => {}
            }
        }
    }

    /// Waits until the client ends the connection. What arrives meanwhile is kept, as far as a frame and a bit.
    pub(super) async fn ended(&mut self) {
        while self.frames.has_room() {
            if let Ok(0) | Err(_) = self.from.read_buf(self.frames.room()).await {
                return;
            }
        }
        std::future::pending().await
    }

    /// The next, if it has arrived.
    pub(super) fn ready(&mut self) -> Result<Option<(Kind, Take)>> {
        self.frames.next().map_err(malformed)
    }
}

/// The error of a request that cannot be understood.
pub(super) fn malformed(what: Malformed) -> Error {
    Error::new(ErrorKind::Codec, "read request", what.0)
        .with_help("speak the protocol of this version of the memory server")
}

/// Serves one connection to its end.
pub(super) async fn talk(stream: TcpStream, core: Rc<Core>) {
    // Nothing is lost without it but time.
    let _ = stream.set_nodelay(true);
    let (from, to) = stream.into_split();
    let outbox = Outbox::default();
    let (mut cut, mut frozen) = (core.cut.subscribe(), core.frozen.subscribe());
    // Whoever asks for harm is not harmed.
    let works = Cell::new(None);
    let serve = async {
        if let Err(error) = serve(from, &core, &outbox, &works).await {
            let mut told = Vec::new();
            frame::put(&mut told, Kind::Failed, |to| put_error(to, &error));
            outbox.push(0, told);
        }
        outbox.end();
    };
    let send = outbox.send(to, &core.journal);
    let mut beats = tokio::time::interval(core.beat);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tokio::pin!(send, serve);
    loop {
        tokio::select! {
            () = &mut serve => {
                let _ = timeout(LAST_WORDS, send).await;
                return;
            }
            _ = &mut send => return,
            _ = beats.tick() => if works.get().is_some() { beat(&outbox) },
            _ = cut.changed() => if works.get().is_some() { return },
            // Neither read nor written any more, and not closed. A consumer gives up its place in the line; its leases
            // go on until their time.
            _ = frozen.changed() => match works.get() {
                Some(Kind::OpenConsumer) => serve.as_mut().await,
                Some(_) => std::future::pending().await,
                None => {}
            },
        }
    }
}

fn beat(outbox: &Outbox) {
    let mut told = Vec::new();
    frame::put(&mut told, Kind::Beat, |_| {});
    outbox.push_if_idle(told);
}

async fn serve(mut from: OwnedReadHalf, core: &Rc<Core>, outbox: &Outbox, works: &Cell<Option<Kind>>) -> Result<()> {
    let mut greeting = [0; GREETING.len()];
    if from.read_exact(&mut greeting).await.is_err() {
        return Ok(());
    }
    if greeting != *GREETING {
        return Err(malformed(Malformed("this is not the greeting of a client of this version")));
    }
    let config = core.memory.config();
    let connection = core.connection();
    let mut welcome = Vec::new();
    frame::put(&mut welcome, Kind::Welcome, |to| {
        to.put_u64(config.max_body);
        to.put_u64(u64::try_from(config.lease.as_nanos()).unwrap_or(u64::MAX));
        to.put_u32(connection);
        to.push(u8::from(core.journal.survives_power_loss()));
        to.put_u64(u64::try_from(core.beat.as_nanos()).unwrap_or(u64::MAX));
    });
    outbox.push(0, welcome);
    let mut requests = Requests { from, frames: Frames::new(config.max_body + FRAME_OVERHEAD) };
    while let Some((kind, mut request)) = requests.next().await? {
        works.set(Some(kind).filter(|kind| matches!(kind, Kind::OpenProducer | Kind::OpenConsumer)));
        match kind {
            Kind::OpenProducer => return producer::serve(&mut request, requests, core, outbox).await,
            Kind::OpenConsumer => return consumer::serve(&mut request, requests, core, outbox).await,
            _ => control::answer(kind, &mut request, core, outbox).await?,
        }
        outbox.room().await;
    }
    Ok(())
}

/// Answers that it is done.
pub(super) fn done(outbox: &Outbox, position: u64, number: u64) {
    let mut answer = Vec::new();
    frame::put(&mut answer, Kind::Done, |to| to.put_u64(number));
    outbox.push(position, answer);
}
