//! The members of one source, as one of them takes part: joining, and leaving so that the others know.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use lapin::ExchangeKind;
use lapin::options::{BasicConsumeOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use pontoon_core::{ErrorKind, Result, Source};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::member::{Member, News};
use super::shared::Readings;
use crate::connection::{Connections, Use};
use crate::live::{Line, Live};
use crate::{error, names, topology};

const OPERATION: &str = "open consumer";
/// Words of members that are not read yet; older ones are dropped.
const UNREAD: i64 = 1_000;
/// The most members that are remembered after their connection was lost.
const VACANT: usize = 1_024;

/// Members whose connection was lost: who opens the same source again is the same member, and keeps its shards.
#[derive(Debug, Default)]
pub(crate) struct Seats(Mutex<Vec<(String, u64)>>);

impl Seats {
    fn take(&self, exchange: &str) -> u64 {
        let mut vacant = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = vacant.iter().position(|(of, _)| of == exchange);
        known.map_or_else(pontoon_core::os_seed, |at| vacant.swap_remove(at).1)
    }

    fn leave(&self, exchange: &str, id: u64) {
        let mut vacant = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if vacant.len() < VACANT {
            vacant.push((exchange.to_owned(), id));
        }
    }
}

/// What one member is called, and where it is heard.
pub(super) struct Seat {
    pub(super) id: u64,
    pub(super) exchange: String,
    pub(super) connections: Arc<Connections>,
    over: AtomicBool,
}

impl Seat {
    /// The connection is lost; the first call counts.
    pub(super) fn vacate(&self) {
        if !self.over.swap(true, Ordering::AcqRel) {
            self.connections.seats().leave(&self.exchange, self.id);
        }
    }

    /// It leaves in order, and nobody takes its place.
    pub(super) fn give_up(&self) {
        self.over.store(true, Ordering::Release);
    }
}

/// Takes part for one generation of a consumer.
pub(super) struct Crew {
    seat: Arc<Seat>,
    live: Arc<Live>,
    stop: watch::Sender<bool>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Crew {
    /// Joins the members of this source. `None` where the user may not: then nothing is shared, and whoever came first
    /// reads all.
    ///
    /// # Errors
    /// That of the connection.
    pub(super) async fn join(
        connections: &Arc<Connections>,
        source: &Source,
        prefetch: u16,
        live: &Arc<Live>,
        readings: &Readings,
    ) -> Result<Option<(Crew, mpsc::UnboundedReceiver<News>)>> {
        let exchange = names::members(source);
        let line = connections.channel(Use::Consuming, OPERATION).await?;
        let hearing = match line.live.guarded(OPERATION, hear(&line, &exchange)).await {
            Ok(hearing) => hearing,
            Err(refused) if refused.kind() == ErrorKind::Permission => return Ok(None),
            Err(error) => return Err(error),
        };
        let id = connections.seats().take(&exchange);
        let seat = Arc::new(Seat { id, exchange, connections: connections.clone(), over: AtomicBool::new(false) });
        let (stop, stopped) = watch::channel(false);
        let (news, heard) = mpsc::unbounded_channel();
        let member = Member::new(seat.clone(), source.clone(), prefetch, live.clone(), readings.clone(), news);
        let task = tokio::spawn(member.run(line, hearing, stopped));
        Ok(Some((Crew { seat, live: live.clone(), stop, task: Mutex::new(Some(task)) }, heard)))
    }

    /// Says that it leaves, and takes nothing more.
    pub(super) fn stop(&self) {
        self.seat.give_up();
        let _ = self.stop.send(true);
    }

    /// Ends when that was said.
    pub(super) async fn left(&self) {
        self.stop();
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task {
            let _ = task.await;
        }
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        if self.live.is_lost() {
            self.seat.vacate();
        } else {
            self.stop();
        }
    }
}

/// Opens an ear of its own, which is gone with the connection.
async fn hear(line: &Line, exchange: &str) -> Result<lapin::Consumer> {
    let failed = |cause| error::not_reached(OPERATION, error::of(OPERATION, cause));
    let client = &line.channel;
    let options = topology::durable();
    topology::exchange(client, exchange, ExchangeKind::Fanout, options, FieldTable::default()).await.map_err(failed)?;
    let options = QueueDeclareOptions { exclusive: true, auto_delete: true, ..QueueDeclareOptions::default() };
    let bounded = topology::table([("x-max-length", AMQPValue::LongLongInt(UNREAD))]);
    let queue = client.queue_declare("".into(), options, bounded).await.map_err(failed)?;
    topology::bind(client, queue.name().as_str(), exchange, "").await.map_err(failed)?;
    let options = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
    client.basic_consume(queue.name().clone(), "".into(), options, FieldTable::default()).await.map_err(failed)
}
