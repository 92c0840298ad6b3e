//! One member of an ordered channel: a task that says it is there, hears the others, and takes and gives up shards as
//! the plan says.
//!
//! Nothing here keeps a shard from having two owners: the broker does, which hands a queue's messages to one consumer
//! until that one is gone. The plan only decides who asks.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use futures_core::Stream;
use lapin::BasicProperties;
use lapin::options::BasicPublishOptions;
use pontoon_core::{Error, Result, Source};
use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::crew::Seat;
use super::plan::shards_of;
use super::reading::Reading;
use super::roll::{ROUND, Roll};
use super::shared::{LOST, Readings};
use crate::connection::Use;
use crate::live::{Line, Live};
use crate::{error, names, topology};

/// How long deliveries of a shard that is given up may be worked on before they are lost.
pub(super) const WITHIN: Duration = Duration::from_secs(30);
/// How often it is looked whether a shard that is given up is free.
const LOOK: Duration = Duration::from_millis(20);
/// How long the last word may take: a broker that blocks publishers takes none.
const LAST_WORD: Duration = Duration::from_secs(1);

/// What a member says, as the type of its message. Its name is the message's id.
const HERE: &str = "here";
const GONE: &str = "gone";

/// What a member tells the receiver.
pub(super) enum News {
    /// A shard is read now.
    Taken(Arc<Reading>, lapin::Consumer),
    /// This reading will be given up. Said again while it is not free yet.
    Leaving(u32),
    /// It was given up.
    Left(u32),
    /// The generation cannot go on.
    Failed(Error),
}

type Saying = Pin<Box<dyn Future<Output = ()> + Send>>;

pub(super) struct Member {
    seat: Arc<Seat>,
    source: Source,
    prefetch: u16,
    live: Arc<Live>,
    readings: Readings,
    news: mpsc::UnboundedSender<News>,
    roll: Roll,
    /// The number of the next reading.
    next: u32,
    /// What is given up, and since when.
    leaving: Vec<(Arc<Reading>, Instant)>,
    /// On its way; the next word waits for it.
    saying: Option<Saying>,
    voice: Arc<tokio::sync::Mutex<Option<Line>>>,
}

impl Member {
    pub(super) fn new(
        seat: Arc<Seat>,
        source: Source,
        prefetch: u16,
        live: Arc<Live>,
        readings: Readings,
        news: mpsc::UnboundedSender<News>,
    ) -> Self {
        let next = names::shards(&source.channel).into();
        let (roll, leaving, voice) = (Roll::new(seat.id), Vec::new(), Arc::default());
        Member { seat, source, prefetch, live, readings, news, roll, next, leaving, saying: None, voice }
    }

    /// Takes part until it is told to stop, or the connection is lost.
    pub(super) async fn run(mut self, _ear: Line, mut hearing: lapin::Consumer, mut stop: watch::Receiver<bool>) {
        let (mut rounds, mut looks) = (interval(ROUND), interval(LOOK));
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = stop.changed() => break,
                () = said(&mut self.saying) => continue,
                word = next(&mut hearing) => match word {
                    Some(Ok(delivery)) => self.hear(&delivery.properties),
                    Some(Err(_)) | None => return self.lost(),
                },
                _ = rounds.tick() => self.round(),
                _ = looks.tick(), if !self.leaving.is_empty() => {}
            }
            if let Err(error) = self.act().await {
                let _ = self.news.send(News::Failed(error));
                return;
            }
        }
        self.saying = None;
        let _ = timeout(LAST_WORD, self.words(GONE)).await;
    }

    /// The ear is gone: with the connection, or by somebody's hand.
    fn lost(&self) {
        if self.live.is_lost() || !self.live.connection.status().connected() {
            self.seat.vacate();
        }
        let _ = self.news.send(News::Failed(error::lost("receive", LOST)));
    }

    fn round(&mut self) {
        self.roll.forget_silent(Instant::now());
        self.say_here();
        for (reading, _) in &self.leaving {
            let _ = self.news.send(News::Leaving(reading.number));
        }
    }

    fn hear(&mut self, word: &BasicProperties) {
        let id = word.message_id().as_ref().and_then(|id| u64::from_str_radix(id.as_str(), 16).ok());
        let Some(id) = id else { return };
        let kind = word.kind().as_ref().map(|kind| kind.as_str());
        if kind == Some(GONE) {
            self.roll.gone(id);
        } else if kind == Some(HERE) && self.roll.here(id, Instant::now()) {
            // It is new, and should not have to wait to know of this one.
            self.say_here();
        }
    }

    fn say_here(&mut self) {
        if self.saying.is_none() {
            self.saying = Some(Box::pin(self.words(HERE)));
        }
    }

    /// Publishes, on the connection that publishes. A word that is lost is no harm: the next one comes in a second.
    fn words(&self, kind: &'static str) -> impl Future<Output = ()> + Send + use<> {
        let (seat, voice) = (self.seat.clone(), self.voice.clone());
        async move {
            let said = say(&seat, &voice, kind).await;
            if said.is_err() {
                *voice.lock().await = None;
            }
        }
    }

    /// Does what the plan says.
    async fn act(&mut self) -> Result<()> {
        let shards = names::shards(&self.source.channel);
        let mine = shards_of(self.seat.id, &self.roll.members(), shards);
        let held: Vec<Arc<Reading>> = self.readings.lock().clone();
        for reading in &held {
            let leaves = self.leaving.iter().any(|(known, _)| known.number == reading.number);
            if !leaves && !mine.contains(&reading.shard) {
                let _ = self.news.send(News::Leaving(reading.number));
                self.leaving.push((reading.clone(), Instant::now()));
            }
        }
        self.give_up().await;
        for shard in mine {
            // One that is on its way out has to be out before it is taken again.
            if !held.iter().any(|reading| reading.shard == shard) {
                self.take(shard).await?;
            }
        }
        Ok(())
    }

    async fn take(&mut self, shard: u16) -> Result<()> {
        let number = self.next;
        self.next = self.next.wrapping_add(1);
        let opening = Reading::open(&self.seat.connections, &self.source, shard, number, self.prefetch);
        let (reading, deliveries) = opening.await?;
        if !Arc::ptr_eq(&reading.line.live, &self.live) {
            return Err(error::lost("receive", LOST));
        }
        let reading = Arc::new(reading);
        self.readings.lock().push(reading.clone());
        let _ = self.news.send(News::Taken(reading, deliveries));
        Ok(())
    }

    /// Closes what is free: what is still out goes back to its queue, in its place, and the next consumer has it.
    async fn give_up(&mut self) {
        let late = |since: &Instant| since.elapsed() >= WITHIN;
        let free: Vec<_> = self.leaving.extract_if(.., |(reading, since)| reading.tags().close(late(since))).collect();
        for (reading, _) in free {
            self.readings.lock().retain(|known| known.number != reading.number);
            let closing = async { Ok(reading.line.channel.close(200, "given up".into()).await) };
            let _ = self.live.guarded("receive", closing).await;
            let _ = self.news.send(News::Left(reading.number));
        }
    }
}

async fn say(seat: &Seat, voice: &tokio::sync::Mutex<Option<Line>>, kind: &'static str) -> Result<()> {
    let mut voice = voice.lock().await;
    let line = match voice.take().filter(Line::is_open) {
        Some(line) => line,
        None => seat.connections.channel(Use::Publishing, "receive").await?,
    };
    let exchange = topology::short(&seat.exchange)?;
    let word = BasicProperties::default().with_type(kind.into()).with_message_id(format!("{:016x}", seat.id).into());
    let publishing = async {
        let options = BasicPublishOptions::default();
        let sent = line.channel.basic_publish(exchange, "".into(), options, &[], word).await;
        sent.map(drop).map_err(|cause| error::of("receive", cause))
    };
    let sent = line.live.guarded("receive", publishing).await;
    *voice = Some(line);
    sent
}

/// Ends when the word on its way was said; never without one.
async fn said(saying: &mut Option<Saying>) {
    match saying {
        Some(word) => {
            word.await;
            *saying = None;
        }
        None => std::future::pending().await,
    }
}

async fn next(hearing: &mut lapin::Consumer) -> Option<lapin::Result<lapin::message::Delivery>> {
    std::future::poll_fn(|cx| -> Poll<_> { Pin::new(&mut *hearing).poll_next(cx) }).await
}
