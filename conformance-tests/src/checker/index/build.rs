//! From events to the index.

use super::{Consumer, Index, Lease, Sent, Settlement, Source, Story};
use crate::history::{Event, Handle, History, LeaseId, SourceName, What};

impl<'a> Index<'a> {
    /// Indexes a history.
    pub(in crate::checker) fn of(history: &'a History) -> Self {
        let mut index = Index { events: history.events(), ..Index::default() };
        for (at, event) in history.events().iter().enumerate() {
            index.publishing(at, event);
        }
        for (at, event) in history.events().iter().enumerate() {
            index.consuming(at, event);
            index.faults(at, event);
        }
        for sent in &mut index.sent {
            sent.close();
        }
        index.find_final();
        for source in &mut index.sources {
            source.stories.sort_by_key(|at| index.stories[*at].sent);
        }
        index
    }

    /// First, since another process may have been quicker to write down the delivery than the publish.
    fn publishing(&mut self, at: usize, event: &'a Event) {
        match &event.what {
            What::Publish(publish) => {
                let next = self.sent.len();
                let place = *self.by_id.entry(publish.id).or_insert(next);
                if place == next {
                    self.sent.push(Sent::new(publish, event.at, event.process));
                    self.by_message.insert(publish.message.as_str(), place);
                }
                self.sent[place].submitted += 1;
                self.sent[place].events.push(at);
            }
            What::Published { id, outcome } => {
                if let Some(place) = self.by_id.get(id) {
                    self.sent[*place].ends(event.at, outcome);
                    self.sent[*place].events.push(at);
                } else {
                    self.strangers.push(at);
                }
            }
            What::Resent { message, unknown: true } => {
                if let Some(place) = self.by_message.get(message.as_str()) {
                    self.sent[*place].resent.get_or_insert(event.at);
                    self.sent[*place].events.push(at);
                }
            }
            _ => {}
        }
    }

    fn consuming(&mut self, at: usize, event: &'a Event) {
        match &event.what {
            What::Subscription(subscription) => {
                let source = self.source(&subscription.source);
                let since = if subscription.earliest { 0 } else { event.at };
                self.sources[source].since.get_or_insert(since);
            }
            What::Subscribe(subscribe) => {
                let source = self.source(&subscribe.source);
                self.sources[source].since.get_or_insert(event.at);
                let consumer = self.consumer(subscribe.consumer);
                (consumer.source, consumer.process) = (Some(source), event.process);
                (consumer.from, consumer.prefetch) = (event.at, subscribe.prefetch);
            }
            What::Unsubscribe { consumer } => self.consumer(*consumer).until = Some(event.at),
            What::Assign { consumer, partition } => {
                self.consumer(*consumer).assigned.push((event.at, *partition, true));
            }
            What::Revoke { consumer, partition } => {
                self.consumer(*consumer).assigned.push((event.at, *partition, false));
            }
            What::Flush { consumer } => self.consumer(*consumer).flush_began(at),
            What::Flushed { consumer, stale, unknown } => {
                self.consumer(*consumer).flush_ended(event.at, at, stale + unknown == 0);
            }
            What::Deliver(delivery) => {
                let source = self.source(&delivery.source);
                let sent = delivery.id.and_then(|id| self.by_id.get(&id).copied());
                let lease = self.leases.len();
                let (settled, lost) = (None, None);
                self.leases.push(Lease { delivery, at: event.at, sent, source, settled, lost, events: vec![at] });
                self.by_lease.insert(delivery.lease, lease);
                self.consumer(delivery.consumer).leases.push(lease);
                match sent {
                    Some(sent) => self.story_at(source, sent).leases.push(lease),
                    None => self.strangers.push(at),
                }
            }
            What::Settle { lease, end } => {
                let (at_time, end) = (event.at, *end);
                if let Some(lease) = self.lease(*lease, at) {
                    lease.settled.get_or_insert(Settlement {
                        at: at_time,
                        end,
                        answer: None,
                        answered: at_time,
                        call_event: at,
                        answer_event: at,
                        late: None,
                        final_at: None,
                    });
                }
            }
            What::Settled { lease, answer } => self.answered(*lease, at, |settled| {
                settled.answer.get_or_insert(*answer);
                (settled.answered, settled.answer_event) = (event.at, at);
            }),
            What::Late { lease, answer } => self.answered(*lease, at, |settled| settled.late = Some(*answer)),
            What::LeaseLost { lease } => {
                if let Some(lease) = self.lease(*lease, at) {
                    lease.lost.get_or_insert(event.at);
                }
            }
            What::Extended { lease, .. } => drop(self.lease(*lease, at)),
            _ => self.ending(at, event),
        }
    }

    /// What ends a message, or ends the run.
    fn ending(&mut self, at: usize, event: &'a Event) {
        match &event.what {
            What::DeadLettered { source, message, reason } => {
                self.about(source, message.as_str(), at, |story| story.buried.push((event.at, *reason)));
            }
            What::Dropped { source, message, reason } => {
                self.about(source, message.as_str(), at, |story| story.dropped.push((event.at, *reason)));
            }
            What::Spilled { source, message } => {
                self.about(source, message.as_str(), at, |story| story.spilled.push(event.at));
            }
            What::Redriven { source, message } => {
                self.about(source, message.as_str(), at, |story| story.redriven.push(event.at));
            }
            What::Left { source, message } => self.about(source, message.as_str(), at, |story| story.left = true),
            What::DeadLetter(letter) => {
                self.dead.push(at);
                let Some(sent) = letter.id.and_then(|id| self.by_id.get(&id).copied()) else {
                    self.strangers.push(at);
                    return;
                };
                let Some(source) = &letter.source else {
                    self.unassigned.insert(sent);
                    return;
                };
                let source = self.source(source);
                let story = self.story_at(source, sent);
                story.dead.push(at);
                story.events.push(at);
            }
            What::Purged { source, count } => {
                let source = self.source(source);
                self.sources[source].purged += count;
                self.sources[source].purged_at = event.at;
            }
            What::Drained { source, end } => {
                let source = self.source(source);
                self.sources[source].drained = Some(*end);
            }
            _ => {}
        }
    }

    fn faults(&mut self, at: usize, event: &'a Event) {
        match &event.what {
            What::Fault { kind } => self.faults.begin(*kind, event.at),
            What::Heal { kind } => self.faults.end(*kind, event.at),
            What::Disconnected { handle: Handle::Consumer(consumer) } => {
                self.consumer(*consumer).hurt.push(event.at);
            }
            What::Disconnected { handle: Handle::Publisher(publisher) } => {
                self.faults.publisher_hurt(*publisher, event.at);
            }
            What::ProcessKilled { process } => {
                for consumer in self.consumers.values_mut().filter(|consumer| consumer.process == *process) {
                    consumer.hurt.push(event.at);
                }
                let publishers = self.sent.iter().filter(|sent| sent.process == *process);
                let mut publishers: Vec<u32> = publishers.map(|sent| sent.publish.id.publisher).collect();
                publishers.dedup();
                for publisher in publishers {
                    self.faults.publisher_hurt(publisher, event.at);
                }
            }
            _ => return,
        }
        self.faults.events.push(at);
    }

    fn source(&mut self, name: &'a SourceName) -> usize {
        let next = self.sources.len();
        let place = *self.by_source.entry(name).or_insert(next);
        if place == next {
            let (since, drained, stories) = (None, None, Vec::new());
            self.sources.push(Source { name, since, drained, purged: 0, purged_at: 0, stories });
        }
        place
    }

    fn consumer(&mut self, number: u32) -> &mut Consumer {
        self.consumers.entry(number).or_default()
    }

    /// The lease of an event, which becomes one of its events.
    fn lease(&mut self, id: LeaseId, at: usize) -> Option<&mut Lease<'a>> {
        let place = self.by_lease.get(&id)?;
        let lease = &mut self.leases[*place];
        lease.events.push(at);
        Some(lease)
    }

    fn answered(&mut self, id: LeaseId, at: usize, change: impl FnOnce(&mut Settlement)) {
        if let Some(settled) = self.lease(id, at).and_then(|lease| lease.settled.as_mut()) {
            change(settled);
        }
    }

    fn about(&mut self, source: &'a SourceName, message: &str, at: usize, change: impl FnOnce(&mut Story)) {
        let source = self.source(source);
        let Some(sent) = self.by_message.get(message).copied() else {
            self.strangers.push(at);
            return;
        };
        let story = self.story_at(source, sent);
        change(story);
        story.events.push(at);
    }

    fn story_at(&mut self, source: usize, sent: usize) -> &mut Story {
        let next = self.stories.len();
        let place = *self.by_place.entry((source, sent)).or_insert(next);
        if place == next {
            self.stories.push(Story { source, sent, ..Story::default() });
            self.sources[source].stories.push(place);
        }
        &mut self.stories[place]
    }
}
