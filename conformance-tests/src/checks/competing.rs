//! Competing consumers and subscriptions.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use pontoon_core::Capability::FanOut;
use pontoon_core::{ChannelKind, ErrorKind, Retention};

use super::Need::{Has, Kind};
use crate::scene::{Broken, Held, Reader, Scene, hold, refused};

checks! {
    "CMP-ONE" each_message_has_one_receiver ["C5.4"] needs []
        "Of competing consumers one gets each message, once";
        "a second worker doubles every effect";
    "CMP-SHARE" all_get_work ["C2.3"] needs []
        "Competing consumers all get work";
        "adding workers does not help";
    "CMP-CHURN" joining_and_leaving_loses_nothing ["C2.1", "C10.4"] needs []
        "A hundred consumers that join and leave lose nothing";
        "each deployment loses the messages that were in flight";
    "FAN-ALL" every_subscription_gets_all ["C2.1"] needs [Kind(ChannelKind::Topic), Has(FanOut)]
        "Every subscription that existed before a publish gets the message";
        "the audit log lacks what the shop handled";
    "FAN-ISOLATE" settlements_are_private ["C4.10"] needs [Kind(ChannelKind::Topic), Has(FanOut)]
        "What one subscription does with a message changes nothing for another";
        "a failure in one service takes messages from another";
    "FAN-START" a_subscription_begins_where_it_says ["F8"] needs [Kind(ChannelKind::Topic), Has(FanOut)]
        "A new subscription begins with what is published from its creation on, and keeps its position";
        "a service that was subscribed before it was started misses its first messages";
    "FAN-LAG" a_slow_subscription_loses_nothing ["C2.4"] needs [Kind(ChannelKind::Topic), Has(FanOut)]
        "A subscription that lags behind loses nothing that is within retention";
        "a service that was down over the weekend misses messages";
    "RET-REFUSE" retention_is_never_inherited ["C2.4", "F2"] needs []
        "A channel that may remove unread work is refused unless the application declared it so";
        "a queue that somebody else gave a retention silently deletes work";
}

/// What workers have to do together, and have done.
#[derive(Clone, Default)]
struct Job(Arc<[AtomicUsize; 2]>);

impl Job {
    fn of(messages: usize) -> Self {
        Job(Arc::new([messages.into(), 0.into()]))
    }

    fn add(&self, messages: usize) {
        self.0[0].fetch_add(messages, Ordering::Relaxed);
    }

    fn expected(&self) -> usize {
        self.0[0].load(Ordering::Relaxed)
    }

    fn done(&self) -> usize {
        self.0[1].load(Ordering::Relaxed)
    }
}

/// One of those who work on a job.
struct Worker {
    task: tokio::task::JoinHandle<Held>,
    share: Arc<AtomicUsize>,
}

/// Handles what comes, taking this long over each, until the job is done and nothing more comes.
fn work(reader: &Reader, each: Duration, job: &Job) -> Worker {
    let (reader, job) = (reader.clone(), job.clone());
    let share = Arc::<AtomicUsize>::default();
    let own = share.clone();
    let task = tokio::spawn(async move {
        while let Some(taken) = reader.next_of(job.done(), job.expected()).await? {
            tokio::time::sleep(each).await;
            let _ = taken.ack();
            own.fetch_add(1, Ordering::Relaxed);
            job.0[1].fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    });
    Worker { task, share }
}

impl Worker {
    fn share(&self) -> usize {
        self.share.load(Ordering::Relaxed)
    }

    /// How much it did in all.
    async fn ended(self) -> Held<usize> {
        self.task.await.map_err(|error| Broken::new("panic", error.to_string()))??;
        Ok(self.share.load(Ordering::Relaxed))
    }
}

async fn each_message_has_one_receiver(scene: Scene) -> Held {
    let place = scene.place()?;
    let sender = scene.publisher(&place).await?;
    let job = Job::of(300);
    let mut workers = Vec::new();
    for _ in 0..3 {
        let connection = scene.connect().await?;
        let reader = scene.consumer_on(&connection, &place, |options| options.prefetch = 8).await?;
        workers.push(work(&reader, Duration::from_millis(1), &job));
    }
    for _ in 0..6 {
        sender.put(sender.drafts(50, &["a", "b"])).await?;
        // All three are at work.
        scene.rest(Duration::from_millis(20)).await;
    }
    let mut all = 0;
    for worker in workers {
        all += worker.ended().await?;
    }
    hold!(all == 300, if all > 300 { "unexplained-duplicate" } else { "lost-confirmed" }, "{all} deliveries of 300");
    Ok(())
}

async fn all_get_work(scene: Scene) -> Held {
    let place = scene.place()?;
    let sender = scene.publisher(&place).await?;
    let (job, mut workers) = (Job::default(), Vec::new());
    for _ in 0..3 {
        let reader = scene.consumer_with(&place, |options| options.prefetch = 2).await?;
        workers.push(work(&reader, Duration::from_millis(10), &job));
    }
    // Whoever is slow to begin has ten chances.
    for _ in 0..10 {
        job.add(60);
        sender.put(sender.drafts(60, &["a", "b", "c", "d", "e", "f"])).await?;
        scene.until("the messages to be handled", || job.done() >= job.expected()).await?;
        if workers.iter().all(|worker| worker.share() > 0) {
            break;
        }
    }
    let mut shares = Vec::new();
    for worker in workers {
        shares.push(worker.ended().await?);
    }
    let idle = shares.iter().filter(|share| **share == 0).count();
    hold!(idle == 0, "unshared", "{} messages were handled as {shares:?} by three consumers", job.done());
    Ok(())
}

async fn joining_and_leaving_loses_nothing(scene: Scene) -> Held {
    let place = scene.place()?;
    let sender = scene.publisher(&place).await?;
    let steady = scene.consumer_with(&place, |options| options.prefetch = 4).await?;
    let worker = work(&steady, Duration::from_millis(2), &Job::default());
    let mut random = scene.random();
    for _ in 0..100 {
        // Before there is work, so that it has its share of it, however fast the steady one is.
        let guest = scene.consumer_with(&place, |options| options.prefetch = 8).await?;
        sender.put(sender.drafts(6, &["a", "b", "c"])).await?;
        for _ in 0..random.usize(0..3) {
            if let Some(taken) = guest.next_within(Duration::from_millis(5)).await? {
                let _ = taken.ack();
            }
        }
        let _ = guest.drain(Duration::from_secs(5)).await?;
    }
    worker.ended().await?;
    Ok(())
}

async fn every_subscription_gets_all(scene: Scene) -> Held {
    let place = scene.place()?;
    let mut workers = Vec::new();
    for name in ["one", "two", "three"] {
        let reader = scene.consumer(&place.through(name)?).await?;
        workers.push((name, work(&reader, Duration::ZERO, &Job::of(60))));
    }
    let sender = scene.publisher(&place).await?;
    for _ in 0..3 {
        sender.put(sender.drafts(20, &["a", "b"])).await?;
    }
    let mut counts = BTreeMap::new();
    for (name, worker) in workers {
        counts.insert(name, worker.ended().await?);
    }
    hold!(counts.values().all(|count| *count == 60), "lost-confirmed", "60 messages were delivered as {counts:?}");
    Ok(())
}

async fn settlements_are_private(scene: Scene) -> Held {
    let place = scene.place()?;
    let (rough, gentle) = (place.clone(), place.through("two")?);
    let at_rough = scene.consumer(&rough).await?;
    scene.declare(&gentle).await?;
    let sender = scene.publisher(&place).await?;
    sender.put(sender.drafts(30, &["a", "b"])).await?;
    for at in 0..30 {
        let taken = at_rough.next().await?;
        let _ = match at % 3 {
            0 => taken.ack(),
            1 => taken.reject(),
            _ => taken.retry(),
        };
    }
    let _ = at_rough.flush().await?;
    let at_gentle = scene.consumer(&gentle).await?;
    let mut seen = HashSet::new();
    while let Some(taken) = at_gentle.next_of(seen.len(), 30).await? {
        let (id, attempt) = (taken.id(), taken.attempt());
        hold!(attempt.is_first(), "cross-subscription", "{id} failed in `one`, and `two` sees attempt {attempt}");
        seen.insert(id.to_string());
        let _ = taken.ack();
    }
    let count = seen.len();
    hold!(count == 30, "cross-subscription", "`one` settled 30 messages, and `two` got {count} of them");
    at_rough.ack_rest().await?;
    Ok(())
}

async fn a_subscription_begins_where_it_says(scene: Scene) -> Held {
    let place = scene.place()?;
    let later = place.through("later")?;
    let sender = scene.publisher(&place).await?;
    sender.put(sender.drafts(10, &[])).await?;
    // Nothing of the history may have happened at the same time.
    scene.rest(Duration::from_millis(5)).await;
    // It exists from here on, although nobody reads it yet.
    scene.declare(&later).await?;
    let expected: Vec<_> = {
        let drafts = sender.drafts(10, &[]);
        let ids = drafts.iter().map(|message| message.id.to_string()).collect();
        sender.put(drafts).await?;
        ids
    };
    let reader = scene.consumer(&later).await?;
    let mut first = Vec::new();
    while let Some(taken) = reader.next_of(first.len(), 10).await? {
        first.push(taken.id().to_string());
        let _ = taken.ack();
    }
    hold!(first == expected, "wrong-start", "published after it began: {expected:?}; delivered: {first:?}");
    let _ = reader.drain(Duration::from_secs(5)).await?;
    // It keeps its position while nobody reads.
    let more = sender.put_one(None).await?.to_string();
    let again = scene.consumer(&later).await?;
    let found = again.ack(1).await?;
    hold!(found == [more.clone()], "wrong-start", "expected {more}, delivered {found:?}");
    again.nothing(scene.timings().quiet() / 4, "unexplained-duplicate").await
}

async fn a_slow_subscription_loses_nothing(scene: Scene) -> Held {
    let place = scene.place()?;
    let slow = place.through("slow")?;
    scene.declare(&slow).await?;
    let fast = scene.consumer(&place).await?;
    let sender = scene.publisher(&place).await?;
    for _ in 0..10 {
        sender.put(sender.drafts(100, &["a", "b"])).await?;
        fast.ack(100).await?;
    }
    let late = scene.consumer(&slow).await?;
    let seen = late.ack_all(1_000).await?;
    hold!(seen == 1_000, "trimmed", "a subscription that lagged by 1,000 messages got {seen}");
    Ok(())
}

async fn retention_is_never_inherited(scene: Scene) -> Held {
    let mut short = scene.place()?;
    short.channel.retention = Retention::For(Duration::from_secs(3_600));
    let sender = scene.publisher(&short).await?;
    sender.put(sender.drafts(3, &[])).await?;
    let mut ours = short.clone();
    ours.channel.retention = Retention::UntilSettled;
    let opened = pontoon_core::engine::Consumer::open(
        scene.transport(),
        ours.source()?,
        pontoon_core::engine::ConsumerOptions::default(),
        &pontoon_core::engine::Environment::new(),
    )
    .await;
    let what = "opening a channel that removes what is an hour old, as one that keeps everything";
    let error = refused(opened, ErrorKind::Conflict, "conflict-accepted", what)?;
    hold!(error.to_string().contains("retention"), "unclear-error", "the error does not name the field: {error}");
    scene.consumer(&short).await?.ack_rest().await?;
    Ok(())
}
