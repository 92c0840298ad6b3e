//! A connection that consumes.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::poll_fn;
use std::task::{Context, Waker};
use std::time::Duration;

use pontoon_core::driver::{
    Arrival, Disposition, Inbox, Incoming, LateKind, OpenConsumer, Receiver, Settled, Settler, Token, Transport,
};
use pontoon_core::{BrokerId, Error, Message, Result};
use pontoon_memory::{MemoryReceiver, MemorySettler};

use super::control::take_source;
use super::core::Core;
use super::outbox::Outbox;
use super::session::{Requests, done, malformed};
use crate::journal::{Queue, Record};
use crate::protocol::{Kind, Malformed, Put, Take, frame, put_error, put_message};

/// A delivery that is out on this connection.
struct Out {
    token: Token,
    number: u64,
}

struct Session<'a> {
    core: &'a Core,
    outbox: &'a Outbox,
    queue: Queue,
    settler: MemorySettler,
    out: HashMap<u64, Out>,
    positions: HashMap<Token, u64>,
    /// Deliveries made so far: the position of the next is one more.
    delivered: u64,
    /// How many more may be made.
    credit: usize,
    /// Settlements taken so far.
    settled: u64,
}

pub(super) async fn serve(open: &mut Take, mut requests: Requests, core: &Core, outbox: &Outbox) -> Result<()> {
    let (queue, source) = take_source(open)?;
    let mut how = OpenConsumer::new(source, 1);
    how.prefetch = open.u32().map_err(malformed)?.max(1) as usize;
    let opened = core.transport.open_consumer(how).await?;
    let mut receiver = opened.receiver;
    done(outbox, 0, 0);
    let mut session = Session {
        core,
        outbox,
        queue,
        settler: opened.settler,
        out: HashMap::new(),
        positions: HashMap::new(),
        delivered: 0,
        credit: 0,
        settled: 0,
    };
    let mut inbox = Inbox::new();
    let mut frozen = core.frozen.subscribe();
    loop {
        let credit = session.credit;
        tokio::select! {
            biased;
            _ = frozen.changed() => {
                drop(receiver);
                match std::future::pending::<Infallible>().await {}
            }
            request = requests.next() => match request? {
                None => return Ok(()),
                Some((kind, request)) => session.request(kind, request, &mut receiver).await?,
            },
            received = poll_fn(|cx| receiver.poll_receive(cx, &mut inbox, credit)) => {
                received?;
                session.deliver(&mut inbox)?;
            }
        }
        outbox.room().await;
    }
}

impl Session<'_> {
    async fn request(&mut self, kind: Kind, mut request: Take, receiver: &mut MemoryReceiver) -> Result<()> {
        match kind {
            Kind::Credit => self.credit += request.u32().map_err(malformed)? as usize,
            Kind::Hold => receiver.hold(0, request.flag().map_err(malformed)?),
            Kind::Stop => {
                poll_fn(|cx| receiver.poll_stop(cx, &mut Inbox::new())).await?;
                self.credit = 0;
                let mut told = Vec::new();
                frame::put(&mut told, Kind::Stopped, |_| {});
                self.outbox.push(0, told);
            }
            Kind::Settle => self.settle(&mut request)?,
            _ => return Err(malformed(Malformed("a consumer only consumes"))),
        }
        Ok(())
    }

    fn deliver(&mut self, inbox: &mut Inbox) -> Result<()> {
        let mut told = Vec::new();
        while let Some(arrival) = inbox.pop() {
            match arrival {
                Arrival::Message(incoming) => self.deliver_one(&incoming, &mut told),
                Arrival::LeaseLost(token) => {
                    if let Some(position) = self.positions.remove(&token) {
                        self.out.remove(&position);
                        frame::put(&mut told, Kind::LeaseLost, |to| to.put_u64(position));
                    }
                }
                // The model has one source, which it never takes away.
                Arrival::Revoking { .. } | Arrival::Revoked { .. } => {}
            }
        }
        // Written, so that the count survives a crash of this process; there is no need to wait for more.
        self.core.write()?;
        self.outbox.push(0, told);
        Ok(())
    }

    fn deliver_one(&mut self, incoming: &Incoming, told: &mut Vec<u8>) {
        let number = if let BrokerId::Number(number) = incoming.broker_id { number } else { 0 };
        let delivered = Record::<&Message>::Delivered { queue: self.queue.clone(), number, expired: incoming.expired };
        self.core.journal.append(&delivered);
        self.delivered += 1;
        self.credit = self.credit.saturating_sub(1);
        let position = self.delivered;
        self.out.insert(position, Out { token: incoming.token, number });
        self.positions.insert(incoming.token, position);
        frame::put(told, Kind::Delivery, |to| {
            to.put_u64(position);
            to.put_u64(number);
            to.put_u32(incoming.deliveries.unwrap_or(0));
            to.put_u32(incoming.failures);
            to.push(u8::from(incoming.expired));
            put_message(to, &incoming.message);
        });
    }

    /// Settles one after another, as they were recorded.
    fn settle(&mut self, request: &mut Take) -> Result<()> {
        let mut amiss = Vec::new();
        let mut answers = Vec::new();
        while !request.is_empty() {
            let position = request.u64().map_err(malformed)?;
            let disposition = take_disposition(request).map_err(malformed)?;
            self.settled += 1;
            answers.clear();
            if let Some(out) = self.out.get(&position) {
                self.settler.record(&[(out.token, disposition)], &mut answers);
            }
            if answers.first() != Some(&Settled::Recorded) {
                amiss.push((position, None));
            } else if let Some(error) = self.failure() {
                amiss.push((position, Some(error)));
            } else {
                self.note(position, disposition);
            }
        }
        let written = self.core.write()?;
        let mut told = Vec::new();
        frame::put(&mut told, Kind::Settled, |to| {
            to.put_u64(self.settled);
            for (position, failure) in &amiss {
                to.put_u64(*position);
                to.push(u8::from(failure.is_some()));
                failure.iter().for_each(|error| put_error(to, error));
            }
        });
        self.outbox.push(written, told);
        Ok(())
    }

    /// Why the model did not do what it just recorded: a fault that was asked for. It tells at once.
    fn failure(&mut self) -> Option<Error> {
        let mut late = Vec::new();
        let _ = self.settler.poll_flush(&mut Context::from_waker(Waker::noop()), &mut late);
        late.into_iter().find_map(|late| match late.kind {
            LateKind::Failed(error) => Some(error),
            _ => None,
        })
    }

    /// Writes down a settlement, and forgets the delivery that it ended.
    fn note(&mut self, position: u64, disposition: Disposition<'_>) {
        let Some(number) = self.out.get(&position).map(|out| out.number) else { return };
        let queue = self.queue.clone();
        let record: Record<&Message> = match disposition {
            Disposition::Ack => Record::Gone { queue, number },
            Disposition::Release => Record::Released { queue, number },
            Disposition::Retry { after, failures } => {
                let at = self.core.now();
                let after = u64::try_from(after.as_nanos()).unwrap_or(u64::MAX);
                let due = if after == 0 { 0 } else { at.saturating_add(after) };
                Record::Retried { queue, number, at, due, failures }
            }
            // An extension ends nothing, and a lease does not outlive the process.
            _ => return,
        };
        self.core.journal.append(&record);
        if let Some(out) = self.out.remove(&position) {
            self.positions.remove(&out.token);
        }
    }
}

fn take_disposition(from: &mut Take) -> Result<Disposition<'static>, Malformed> {
    Ok(match from.u8()? {
        0 => Disposition::Ack,
        1 => Disposition::Release,
        2 => Disposition::Retry { after: Duration::from_nanos(from.u64()?), failures: from.u32()? },
        3 => Disposition::Extend { by: Duration::from_nanos(from.u64()?) },
        _ => return Err(Malformed("a settlement is of an unknown kind")),
    })
}
