//! The machine in small, exact situations that random schedules do not reach.

use std::time::Duration;

use crate::driver::{BatchSource, Ticket};
use crate::engine::publish::machine::{Config, Machine, Place};
use crate::engine::publish::outcome::PublishError;
use crate::engine::publish::slots::Owner;
use crate::*;

fn machine(max_messages: usize) -> Machine<u32> {
    let mut channel = Channel::queue("q").unwrap();
    channel.order = Order::FallBehind;
    let mut machine = Machine::new(Config {
        channel,
        max_messages,
        max_bytes: 1000,
        deliver_within: Duration::from_secs(30),
        resend: true,
        seed: 1,
        hook_published: None,
        hook_failed: None,
    });
    machine.opened(1, &Behaviour::default());
    machine
}

fn issue(machine: &mut Machine<u32>, body: &'static str) -> Place {
    let deadline = Moment::ZERO + Duration::from_secs(30);
    machine.issue(&mut Some(Message::new(body).with_key("k")), deadline, Owner::One(None))
}

fn take_all(machine: &mut Machine<u32>) -> Vec<Ticket> {
    let mut offer = machine.offer(Moment::ZERO, 100);
    let mut tickets = Vec::new();
    while let Some((ticket, _)) = offer.peek() {
        tickets.push(ticket);
        offer.pop();
    }
    tickets
}

fn busy() -> PublishOutcome {
    PublishOutcome::Rejected(Rejection::TryAgain(Error::new(ErrorKind::Full, "test", "busy")))
}

fn who_knows() -> PublishOutcome {
    PublishOutcome::Unknown(Error::new(ErrorKind::Connection, "test", "who knows"))
}

fn stored() -> PublishOutcome {
    PublishOutcome::Confirmed(Receipt::default())
}

/// A profile that breaks its word: a message fails, and a later one of its key in the same pipeline is stored.
#[test]
fn a_message_that_was_overtaken_is_not_sent_behind_its_successor() {
    for one_round in [true, false] {
        let mut machine = machine(10);
        let (first, second) = (issue(&mut machine, "1"), issue(&mut machine, "2"));
        let tickets = take_all(&mut machine);
        let mut outcomes = vec![(tickets[0], busy()), (tickets[1], stored())];
        let mut later = if one_round { Vec::new() } else { outcomes.split_off(1) };
        machine.complete(&mut outcomes, || Moment::ZERO);
        machine.complete(&mut later, || Moment::ZERO);
        assert!(machine.take(second).unwrap().is_ok());
        let Err(PublishError::Rejected { error, .. }) = machine.take(first).unwrap() else { panic!() };
        assert!(error.to_string().contains("order"), "{error}");
        assert!(machine.is_empty());
    }
}

#[test]
fn a_message_of_which_it_is_unknown_is_sent_again_also_behind_its_successor() {
    let mut machine = machine(10);
    let (first, second) = (issue(&mut machine, "1"), issue(&mut machine, "2"));
    let tickets = take_all(&mut machine);
    machine.complete(&mut vec![(tickets[0], who_knows()), (tickets[1], stored())], || Moment::ZERO);
    assert!(machine.take(second).unwrap().is_ok());
    machine.tick(Moment::ZERO + Duration::from_secs(1)).unwrap();
    let again = take_all(&mut machine);
    machine.complete(&mut vec![(again[0], stored())], || Moment::ZERO);
    assert!(machine.take(first).unwrap().is_ok());
    assert!(machine.is_empty());
}

#[test]
fn a_flush_waits_for_what_was_accepted_not_for_what_waits_for_room() {
    let mut machine = machine(1);
    let (first, second) = (issue(&mut machine, "1"), issue(&mut machine, "2"));
    let until = machine.flush_until();
    machine.flushes.wait(until, 7);
    let tickets = take_all(&mut machine);
    assert!(!machine.flushed(until));
    machine.complete(&mut vec![(tickets[0], stored())], || Moment::ZERO);
    assert!(machine.take(first).unwrap().is_ok());
    assert_eq!(machine.unresolved(), 1, "the second was accepted");
    assert!(machine.flushed(until));
    assert_eq!(machine.woken, [7]);
    assert!(machine.take(second).is_none());
}

#[test]
fn other_keys_pass_a_key_that_waits() {
    let mut machine = machine(10);
    issue(&mut machine, "1");
    let tickets = take_all(&mut machine);
    machine.complete(&mut vec![(tickets[0], busy())], || Moment::ZERO);
    issue(&mut machine, "2");
    assert!(take_all(&mut machine).is_empty(), "behind the first");
    let deadline = Moment::ZERO + Duration::from_secs(30);
    machine.issue(&mut Some(Message::new("3").with_key("other")), deadline, Owner::Nobody);
    machine.issue(&mut Some(Message::new("4")), deadline, Owner::Nobody);
    assert_eq!(take_all(&mut machine).len(), 2);
}
