//! The adapter over a toy broker whose calls wait until the test lets them go on.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};

use tokio::sync::Semaphore;

use super::*;
use crate::driver::{BatchSource, CompletionSink, MessageBatch};
use crate::{Receipt, Source};

/// What the toy is told to do, and what it saw.
struct Toy {
    limits: CallLimits,
    publishes: Semaphore,
    receives: Semaphore,
    settles: Semaphore,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    begun: Vec<String>,
    stored: Vec<String>,
    queue: VecDeque<Incoming>,
    settled: Vec<Vec<(u64, String)>>,
    fail_publish: bool,
    short_answers: bool,
    fail_receive: bool,
    settle_answers: VecDeque<Result<Vec<SettleOutcome>>>,
    at_once: usize,
    most_at_once: usize,
    closed: usize,
}

#[derive(Clone)]
struct Handle(Arc<Toy>);

/// Counts a call as under way until it ends or is dropped.
struct UnderWay(Arc<Toy>);

impl UnderWay {
    fn new(toy: &Arc<Toy>) -> Self {
        let mut seen = toy.seen.lock().unwrap();
        seen.at_once += 1;
        seen.most_at_once = seen.most_at_once.max(seen.at_once);
        drop(seen);
        UnderWay(toy.clone())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.seen.lock().unwrap().at_once -= 1;
    }
}

fn lost() -> Error {
    Error::new(ErrorKind::Connection, "toy", "lost")
}

fn text(message: &Message) -> String {
    String::from_utf8_lossy(&message.body).into_owned()
}

impl SimpleTransport for Handle {
    type Publisher = Handle;
    type Consumer = Handle;

    fn capabilities(&self, _channel: &Channel) -> Capabilities {
        Capabilities::new("toy")
    }
    fn call_limits(&self) -> CallLimits {
        self.0.limits
    }
    async fn ensure(&self, _what: &Ensure) -> Result<()> {
        Ok(())
    }
    async fn open_publisher(&self, _channel: &Channel) -> Result<Handle> {
        Ok(self.clone())
    }
    async fn open_consumer(&self, _how: &OpenConsumer) -> Result<Handle> {
        Ok(self.clone())
    }
    fn extensions(&self) -> Extensions {
        Extensions::none()
    }
    async fn close(&self) -> Result<()> {
        Ok(())
    }
}

impl SimplePublisher for Handle {
    async fn publish(&self, messages: Vec<Message>) -> Result<Vec<PublishOutcome>> {
        let _under_way = UnderWay::new(&self.0);
        self.0.seen.lock().unwrap().begun.extend(messages.iter().map(text));
        self.0.publishes.acquire().await.map_err(|_| lost())?.forget();
        let mut seen = self.0.seen.lock().unwrap();
        if seen.fail_publish {
            return Err(lost());
        }
        seen.stored.extend(messages.iter().map(text));
        let answers = messages.len() - usize::from(seen.short_answers);
        Ok((0..answers).map(|_| PublishOutcome::Confirmed(Receipt::default())).collect())
    }
}

impl SimpleConsumer for Handle {
    fn lease(&self) -> Option<Duration> {
        Some(Duration::from_secs(9))
    }
    async fn receive(&self, max: usize) -> Result<Vec<Incoming>> {
        self.0.receives.acquire().await.map_err(|_| lost())?.forget();
        let mut seen = self.0.seen.lock().unwrap();
        if seen.fail_receive {
            return Err(lost());
        }
        let many = max.min(seen.queue.len());
        Ok(seen.queue.drain(..many).collect())
    }
    async fn settle(&self, what: Vec<(Token, Settlement)>) -> Result<Vec<SettleOutcome>> {
        self.0.settles.acquire().await.map_err(|_| lost())?.forget();
        let mut seen = self.0.seen.lock().unwrap();
        let names = what.iter().map(|(token, s)| (token.position, format!("{s:?}"))).collect();
        seen.settled.push(names);
        seen.settle_answers.pop_front().unwrap_or_else(|| Ok(what.iter().map(|_| SettleOutcome::Done).collect()))
    }
    async fn close(&self) -> Result<()> {
        self.0.seen.lock().unwrap().closed += 1;
        Ok(())
    }
}

#[derive(Default)]
struct Sink(Mutex<Vec<(u32, PublishOutcome)>>);

impl CompletionSink for Sink {
    fn complete(&self, outcomes: &mut Vec<(Ticket, PublishOutcome)>) {
        self.0.lock().unwrap().extend(outcomes.drain(..).map(|(ticket, outcome)| (ticket.slot, outcome)));
    }
}

#[derive(Default)]
struct Bell(AtomicUsize);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

struct Stage {
    toy: Arc<Toy>,
    sink: Arc<Sink>,
    bell: Arc<Bell>,
    waker: Waker,
    producer: AdaptedProducer<Handle>,
    receiver: AdaptedReceiver<Handle>,
    settler: AdaptedSettler<Handle>,
}

impl Stage {
    async fn new(limits: CallLimits) -> Self {
        let toy = Arc::new(Toy {
            limits,
            publishes: Semaphore::new(0),
            receives: Semaphore::new(0),
            settles: Semaphore::new(0),
            seen: Mutex::default(),
        });
        let adapter = Adapter::new(Handle(toy.clone()));
        let channel = Channel::queue("q").unwrap();
        let sink = Arc::new(Sink::default());
        let how = OpenProducer::new(channel.clone(), 1, Completions::new(sink.clone()));
        let producer = Transport::open_producer(&adapter, how).await.unwrap().producer;
        let mut how = OpenConsumer::new(Source::new(channel, None).unwrap(), 1);
        how.prefetch = 4;
        let opened = Transport::open_consumer(&adapter, how).await.unwrap();
        assert_eq!(opened.lease, Some(Duration::from_secs(9)));
        let bell = Arc::new(Bell::default());
        let waker = Waker::from(bell.clone());
        Stage { toy, sink, bell, waker, producer, receiver: opened.receiver, settler: opened.settler }
    }

    fn submit(&mut self, batch: &mut MessageBatch) -> Poll<Result<()>> {
        self.producer.poll_submit(&mut Context::from_waker(&self.waker), &mut Batch::new(batch))
    }

    fn drive(&mut self) -> Poll<Error> {
        self.producer.poll_drive(&mut Context::from_waker(&self.waker))
    }

    fn receive(&mut self, max: usize) -> (Poll<Result<()>>, Vec<u64>) {
        let mut inbox = Inbox::new();
        let end = self.receiver.poll_receive(&mut Context::from_waker(&self.waker), &mut inbox, max);
        (end, positions(inbox))
    }

    /// Settles a delivery as if it had been handed over just now.
    fn record(&mut self, position: u64, disposition: Disposition<'_>) {
        self.settler.outstanding.hold(token(position));
        assert_eq!(self.settle(token(position), disposition), Settled::Recorded);
    }

    fn settle(&mut self, token: Token, disposition: Disposition<'_>) -> Settled {
        let mut answers = Vec::new();
        self.settler.record(&[(token, disposition)], &mut answers);
        assert_eq!(answers.len(), 1);
        answers[0]
    }

    fn flush(&mut self) -> (Poll<Result<()>>, Vec<Late>) {
        let mut late = Vec::new();
        let end = self.settler.poll_flush(&mut Context::from_waker(&self.waker), &mut late);
        (end, late)
    }

    fn rung(&self) -> usize {
        self.bell.0.swap(0, Ordering::SeqCst)
    }

    fn outcomes(&self) -> Vec<(u32, PublishOutcome)> {
        std::mem::take(&mut *self.sink.0.lock().unwrap())
    }

    /// A closure, since two guards within one expression would wait for each other.
    fn seen<R>(&self, look: impl FnOnce(&mut Seen) -> R) -> R {
        look(&mut self.toy.seen.lock().unwrap())
    }
}

fn positions(mut inbox: Inbox) -> Vec<u64> {
    std::iter::from_fn(|| inbox.pop_message()).map(|incoming| incoming.token.position).collect()
}

fn token(position: u64) -> Token {
    Token { position, source: (position / 100) as u32, generation: 1 }
}

fn incoming(position: u64) -> Incoming {
    Incoming::new(token(position), Message::new("x"))
}

fn batch(range: std::ops::Range<u32>) -> MessageBatch {
    let mut batch = MessageBatch::new();
    for slot in range {
        batch.push(Ticket { slot, generation: 1 }, Message::new(slot.to_string()));
    }
    batch
}

#[tokio::test]
async fn publishes_are_begun_in_order_one_call_at_a_time() {
    let mut stage = Stage::new(CallLimits::default().with_publishes(2, 1)).await;
    let mut batch = batch(0..5);
    assert!(matches!(stage.submit(&mut batch), Poll::Ready(Ok(()))));
    assert_eq!((batch.len(), stage.seen(|s| s.begun.join(" "))), (3, "0 1".to_owned()));
    assert!(stage.submit(&mut batch).is_pending());
    assert_eq!(batch.len(), 3);
    stage.toy.publishes.add_permits(1);
    assert_eq!(stage.rung(), 1, "room wakes");
    assert!(matches!(stage.submit(&mut batch), Poll::Ready(Ok(()))));
    assert_eq!(stage.outcomes().iter().map(|(slot, _)| *slot).collect::<Vec<_>>(), [0, 1]);
    stage.toy.publishes.add_permits(2);
    assert!(stage.drive().is_pending());
    assert!(matches!(stage.submit(&mut batch), Poll::Ready(Ok(()))));
    assert!(batch.is_empty());
    assert_eq!(stage.seen(|s| s.stored.join(" ")), "0 1 2 3 4");
    assert_eq!(stage.seen(|s| s.most_at_once), 1);
    let outcomes = stage.outcomes();
    assert!(outcomes.len() == 3 && outcomes.iter().all(|(_, outcome)| outcome.is_confirmed()));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(matches!(stage.producer.poll_close(&mut cx), Poll::Ready(Ok(()))));
}

#[tokio::test]
async fn more_calls_at_once_where_the_author_allows_them() {
    let mut stage = Stage::new(CallLimits::default().with_publishes(1, 3)).await;
    let mut batch = batch(0..5);
    for _ in 0..3 {
        assert!(matches!(stage.submit(&mut batch), Poll::Ready(Ok(()))));
    }
    assert!(stage.submit(&mut batch).is_pending());
    assert_eq!(stage.seen(|s| (s.begun.join(" "), s.at_once)), ("0 1 2".to_owned(), 3));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(stage.producer.poll_close(&mut cx).is_pending());
}

#[tokio::test]
async fn a_call_that_fails_leaves_its_messages_unknown_and_ends_the_generation() {
    let mut stage = Stage::new(CallLimits::default().with_publishes(2, 2)).await;
    let mut batch = batch(0..5);
    for _ in 0..2 {
        assert!(matches!(stage.submit(&mut batch), Poll::Ready(Ok(()))));
    }
    stage.seen(|s| s.fail_publish = true);
    stage.toy.publishes.add_permits(1);
    assert_eq!(stage.rung(), 1);
    assert!(matches!(stage.drive(), Poll::Ready(e) if e.kind() == ErrorKind::Connection));
    let outcomes = stage.outcomes();
    assert_eq!(outcomes.iter().map(|(slot, _)| *slot).collect::<Vec<_>>(), [0, 1]);
    assert!(outcomes.iter().all(|(_, outcome)| matches!(outcome, PublishOutcome::Unknown(_))));
    assert!(matches!(stage.submit(&mut batch), Poll::Ready(Err(_))));
    assert_eq!((batch.len(), stage.seen(|s| s.at_once)), (1, 0), "untouched, and the other call is dropped");
}

#[tokio::test]
async fn answers_that_do_not_match_count_for_nobody() {
    let mut stage = Stage::new(CallLimits::default()).await;
    stage.seen(|s| s.short_answers = true);
    stage.toy.publishes.add_permits(1);
    assert!(matches!(stage.submit(&mut batch(0..3)), Poll::Ready(Ok(()))));
    let outcomes = stage.outcomes();
    assert_eq!(outcomes.len(), 3);
    assert!(outcomes.iter().all(|(_, o)| matches!(o, PublishOutcome::Unknown(e) if e.kind() == ErrorKind::Internal)));
    assert!(stage.drive().is_pending());
}

#[tokio::test]
async fn a_dropped_producer_drops_its_calls() {
    let mut stage = Stage::new(CallLimits::default()).await;
    assert!(matches!(stage.submit(&mut batch(0..3)), Poll::Ready(Ok(()))));
    assert_eq!(stage.seen(|s| s.at_once), 1);
    let Stage { producer, toy, sink, .. } = stage;
    drop(producer);
    assert_eq!(toy.seen.lock().unwrap().at_once, 0);
    assert!(sink.0.lock().unwrap().is_empty(), "what they became is the engine's to say: unknown");
}

#[tokio::test]
async fn a_receive_survives_whoever_waited_for_it() {
    let mut stage = Stage::new(CallLimits::default()).await;
    stage.seen(|s| s.queue.extend((0..6).map(incoming)));
    // Somebody waits for three and gives up; the read goes on.
    assert!(stage.receive(3).0.is_pending());
    stage.toy.receives.add_permits(1);
    assert_eq!(stage.rung(), 1);
    // Whoever comes next takes fewer at once: none is lost, none beyond `max` is pushed, and no new read begins.
    assert!(stage.receive(0).0.is_pending());
    let (end, got) = stage.receive(2);
    assert!(matches!(end, Poll::Ready(Ok(()))));
    assert_eq!(got, [0, 1]);
    assert_eq!(stage.receive(2).1, [2]);
    assert!(stage.receive(9).0.is_pending());
    stage.toy.receives.add_permits(1);
    assert_eq!(stage.receive(9).1, [3, 4, 5]);
    assert!(stage.receive(9).0.is_pending());
    stage.seen(|s| s.fail_receive = true);
    stage.toy.receives.add_permits(1);
    assert!(matches!(stage.receive(9).0, Poll::Ready(Err(e)) if e.kind() == ErrorKind::Connection));
    assert!(matches!(stage.receive(9).0, Poll::Ready(Err(_))));
}

#[tokio::test]
async fn empty_reads_are_repeated_without_keeping_the_thread() {
    let mut stage = Stage::new(CallLimits::default()).await;
    stage.toy.receives.add_permits(2);
    assert!(stage.receive(1).0.is_pending());
    assert!(stage.rung() >= 1, "asks to be polled again");
    stage.seen(|s| s.queue.push_back(incoming(7)));
    stage.toy.receives.add_permits(1);
    assert_eq!(stage.receive(1).1, [7]);
}

#[tokio::test]
async fn a_held_source_waits_while_others_flow_and_bounds_what_is_fetched() {
    let mut stage = Stage::new(CallLimits::default()).await;
    stage.seen(|s| s.queue.extend([1, 100, 2, 101, 102, 103, 104].map(incoming)));
    stage.receiver.hold(1, true);
    stage.toy.receives.add_permits(1);
    assert_eq!(stage.receive(4).1, [1, 2]);
    stage.toy.receives.add_permits(9);
    assert!(stage.receive(4).0.is_pending());
    assert_eq!(stage.receiver.fetched.len(), 5, "at most a prefetch and one call's worth");
    assert!(stage.receive(4).0.is_pending());
    stage.rung();
    stage.receiver.hold(1, false);
    assert_eq!(stage.rung(), 1);
    assert_eq!(stage.receive(9).1, [100, 101, 102, 103, 104]);
}

#[tokio::test]
async fn stopping_waits_for_the_read_under_way() {
    let mut stage = Stage::new(CallLimits::default()).await;
    assert!(stage.receive(3).0.is_pending());
    let mut inbox = Inbox::new();
    let waker = stage.waker.clone();
    let mut cx = Context::from_waker(&waker);
    assert!(stage.receiver.poll_stop(&mut cx, &mut inbox).is_pending());
    stage.seen(|s| s.queue.extend((0..2).map(incoming)));
    stage.toy.receives.add_permits(9);
    assert_eq!(stage.rung(), 1);
    assert!(matches!(stage.receiver.poll_stop(&mut cx, &mut inbox), Poll::Ready(Ok(()))));
    assert_eq!(positions(inbox), [0, 1]);
    stage.seen(|s| s.queue.push_back(incoming(9)));
    assert!(stage.receive(1).0.is_pending(), "nothing more is fetched");
}

#[tokio::test]
async fn a_flush_ends_with_what_was_recorded_before_it() {
    let mut stage = Stage::new(CallLimits::default().with_settle(2)).await;
    for position in 0..3 {
        stage.record(position, Disposition::Ack);
    }
    assert!(stage.flush().0.is_pending());
    assert_eq!(stage.rung(), 0);
    stage.toy.settles.add_permits(1);
    assert_eq!(stage.rung(), 1);
    assert!(stage.flush().0.is_pending(), "two of three");
    // Recorded during the flush: the next one's business.
    stage.record(7, Disposition::Release);
    stage.record(8, Disposition::Release);
    stage.toy.settles.add_permits(1);
    let (end, late) = stage.flush();
    assert!(matches!(end, Poll::Ready(Ok(()))) && late.is_empty());
    stage.toy.settles.add_permits(9);
    assert!(matches!(stage.flush().0, Poll::Ready(Ok(()))));
    let order: Vec<u64> = stage.seen(|s| s.settled.iter().flatten().map(|(position, _)| *position).collect());
    assert_eq!(order, [0, 1, 2, 7, 8]);
}

#[tokio::test]
async fn what_did_not_become_final_comes_back_late() {
    let mut stage = Stage::new(CallLimits::default()).await;
    stage.toy.settles.add_permits(9);
    let mut settle = |answer: Result<Vec<SettleOutcome>>| {
        stage.seen(|s| s.settle_answers.push_back(answer));
        for position in 0..4 {
            stage.record(position, Disposition::Ack);
        }
        let (end, late) = stage.flush();
        assert!(matches!(end, Poll::Ready(Ok(()))));
        let kind = |late: &Late| match &late.kind {
            LateKind::Stale => 's',
            LateKind::Failed(_) => 'f',
            LateKind::Unknown(_) => 'u',
        };
        late.iter().map(|l| format!("{}{}", l.token.position, kind(l))).collect::<Vec<_>>().join(" ")
    };
    use SettleOutcome::{Done, Failed, Stale, Unknown};
    assert_eq!(settle(Ok(vec![Done, Stale, Failed(lost()), Unknown(lost())])), "1s 2f 3u");
    assert_eq!(settle(Err(lost())), "0u 1u 2u 3u");
    assert_eq!(settle(Err(lost().with_status(ErrorStatus::Temporary))), "0f 1f 2f 3f");
    assert_eq!(settle(Ok(vec![Done])), "0u 1u 2u 3u");
}

#[tokio::test]
async fn only_what_is_outstanding_can_be_settled() {
    let mut stage = Stage::new(CallLimits::default()).await;
    stage.seen(|s| s.queue.extend([incoming(1), incoming(2)]));
    stage.toy.receives.add_permits(1);
    assert_eq!(stage.receive(2).1, [1, 2]);
    let by = Duration::from_secs(1);
    assert_eq!(stage.settle(token(3), Disposition::Ack), Settled::Stale, "never handed over");
    let of_before = Token { generation: 0, ..token(1) };
    assert_eq!(stage.settle(of_before, Disposition::Ack), Settled::Stale);
    assert_eq!(stage.settle(token(1), Disposition::Extend { by }), Settled::Recorded, "and it stays outstanding");
    assert_eq!(stage.settle(token(1), Disposition::Ack), Settled::Recorded);
    for again in [Disposition::Ack, Disposition::Release, Disposition::Extend { by }] {
        assert_eq!(stage.settle(token(1), again), Settled::Stale, "{again:?}");
    }
    // What failed is recorded again, an extension of what has ended meanwhile is not.
    stage.toy.settles.add_permits(9);
    let failed = || Err(lost().with_status(ErrorStatus::Temporary));
    stage.seen(|s| s.settle_answers.push_back(failed()));
    assert_eq!(stage.flush().1.len(), 1);
    assert_eq!(stage.settle(token(1), Disposition::Ack), Settled::Recorded);
    assert_eq!(stage.settle(token(2), Disposition::Extend { by }), Settled::Recorded);
    stage.seen(|s| s.settle_answers.push_back(Ok(vec![SettleOutcome::Done, SettleOutcome::Failed(lost())])));
    assert_eq!(stage.flush().1.len(), 1);
    assert_eq!(stage.settle(token(1), Disposition::Ack), Settled::Stale);
    assert_eq!(stage.settle(token(2), Disposition::Release), Settled::Recorded);
    let settled: usize = stage.seen(|s| s.settled.iter().map(Vec::len).sum());
    assert_eq!(settled, 3, "stale ones never reach the author");
}

#[tokio::test]
async fn superseded_extensions_are_left_out_and_do_not_pile_up() {
    let mut stage = Stage::new(CallLimits::default()).await;
    let by = Duration::from_secs(1);
    stage.record(1, Disposition::Extend { by });
    stage.record(2, Disposition::Extend { by });
    stage.record(1, Disposition::Ack);
    stage.record(2, Disposition::Extend { by: by * 2 });
    stage.toy.settles.add_permits(1);
    assert!(matches!(stage.flush().0, Poll::Ready(Ok(()))));
    assert_eq!(stage.seen(|s| s.settled[0].clone()), [(1, "Ack".to_owned()), (2, "Extend { by: 2s }".to_owned())]);
    // A stalled call, and heartbeats for an hour.
    stage.record(0, Disposition::Ack);
    assert!(stage.flush().0.is_pending());
    for beat in 0..10_000 {
        stage.record(beat % 8, Disposition::Extend { by });
    }
    assert!(stage.settler.pending.len() <= PRUNE + 1, "{}", stage.settler.pending.len());
    stage.toy.settles.add_permits(1);
    assert!(matches!(stage.flush().0, Poll::Ready(Ok(()))), "not kept by what came later");
    stage.toy.settles.add_permits(99);
    assert!(matches!(stage.flush().0, Poll::Ready(Ok(()))));
    assert_eq!(stage.settler.finished, stage.settler.recorded);
}

#[tokio::test]
async fn closing_settles_first_and_closes_once() {
    let mut stage = Stage::new(CallLimits::default()).await;
    stage.record(1, Disposition::Ack);
    let waker = stage.waker.clone();
    let mut cx = Context::from_waker(&waker);
    let mut late = Vec::new();
    assert!(stage.settler.poll_close(&mut cx, &mut late).is_pending());
    assert_eq!(stage.seen(|s| s.closed), 0);
    stage.toy.settles.add_permits(1);
    for _ in 0..2 {
        assert!(matches!(stage.settler.poll_close(&mut cx, &mut late), Poll::Ready(Ok(()))));
    }
    assert_eq!(stage.seen(|s| (s.closed, s.settled.len())), (1, 1));
}
