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
    issue_until(machine, body, Duration::from_secs(30))
}

fn issue_until(machine: &mut Machine<u32>, body: &'static str, deadline: Duration) -> Place {
    machine.issue(&mut Some(Message::new(body).with_key("k")), Moment::ZERO + deadline, Owner::One(None))
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

/// C6.1: the first message fails for good, since its time is up; the second failed with it, but its answer is still under way.
/// A third must not be stored before the second is sent again.
#[test]
fn nothing_passes_what_was_sent_behind_a_failed_message() {
    for (first_answer, expired) in [(busy(), true), (who_knows(), true), (busy(), false)] {
        let mut machine = machine(10);
        let short = Duration::from_millis(5); // shorter than any wait before a resend
        let (_first, second) = (issue_until(&mut machine, "1", short), issue(&mut machine, "2"));
        let tickets = take_all(&mut machine);
        if expired {
            machine.tick(Moment::ZERO + short).unwrap();
        }
        machine.complete(&mut vec![(tickets[0], first_answer)], || Moment::ZERO);
        let third = issue(&mut machine, "3");
        assert!(take_all(&mut machine).is_empty(), "behind the second");
        machine.complete(&mut vec![(tickets[1], busy())], || Moment::ZERO);
        machine.tick(Moment::ZERO + Duration::from_secs(1)).unwrap();
        let again = take_all(&mut machine);
        machine.complete(&mut vec![(again[0], stored()), (again[1], stored())], || Moment::ZERO);
        assert!(machine.take(second).unwrap().is_ok());
        assert!(machine.take(third).unwrap().is_ok());
    }
}

/// C6.2: two messages wait to be sent again and are let out; the first alone is sent, and fails again.
#[test]
fn what_was_let_out_is_called_back_when_an_earlier_one_fails_again() {
    let mut machine = machine(10);
    for body in ["1", "2", "3"] {
        issue(&mut machine, body);
    }
    let tickets = take_all(&mut machine);
    // The third rests longest: its key's gate is still there when the others are let out.
    machine.complete(&mut vec![(tickets[0], busy()), (tickets[1], busy())], || Moment::ZERO);
    let later = Moment::ZERO + Duration::from_secs(1);
    machine.complete(&mut vec![(tickets[2], busy())], || later);
    assert_eq!(machine.sendable(), 2);
    let first = {
        let mut offer = machine.offer(later, 1);
        let ticket = offer.peek().unwrap().0;
        offer.pop();
        ticket
    };
    machine.complete(&mut vec![(first, busy())], || later);
    assert_eq!(machine.sendable(), 0, "the second waits behind the first");
    machine.tick(later + Duration::from_secs(1)).unwrap();
    let order: Vec<u32> = take_all(&mut machine).iter().map(|ticket| ticket.slot).collect();
    let issued: Vec<u32> = tickets.iter().map(|ticket| ticket.slot).collect();
    assert_eq!(order, issued);
}

/// A message that was refused takes nothing behind it along, nor does one that was stored after its time was up.
#[test]
fn a_refusal_or_a_late_confirmation_holds_nobody_up() {
    let refused = || PublishOutcome::Rejected(Rejection::Refused(Error::new(ErrorKind::TooLarge, "test", "no")));
    for (first_answer, expired) in [(refused(), true), (refused(), false), (stored(), true)] {
        let mut machine = machine(10);
        let short = Duration::from_millis(5);
        issue_until(&mut machine, "1", short);
        issue(&mut machine, "2");
        let tickets = take_all(&mut machine);
        if expired {
            machine.tick(Moment::ZERO + short).unwrap();
        }
        machine.complete(&mut vec![(tickets[0], first_answer)], || Moment::ZERO);
        issue(&mut machine, "3");
        assert_eq!(take_all(&mut machine).len(), 1);
    }
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
fn what_rests_is_let_out_at_the_moment_that_is_due() {
    let mut machine = machine(10);
    issue(&mut machine, "1");
    let tickets = take_all(&mut machine);
    machine.complete(&mut vec![(tickets[0], busy())], || Moment::ZERO);
    let due = machine.next_timer();
    assert!(due > Moment::ZERO && due < Moment::ZERO + Duration::from_secs(1));
    machine.tick(due).unwrap();
    assert_eq!(machine.sendable(), 1);
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
