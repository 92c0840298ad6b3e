//! The checks: each a promise of the contract, by a name that never changes.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use pontoon_core::{Capability, ChannelKind};

use crate::harness::HarmKind;
use crate::scene::{Held, Scene};

/// A check's future.
pub type Running = Pin<Box<dyn Future<Output = Held>>>;

/// What a check needs in order to say anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Need {
    /// The profile declares this, at any level but absent.
    Has(Capability),
    /// The profile is of this kind.
    Kind(ChannelKind),
    /// The broker can be hurt so.
    Control(HarmKind),
    /// It is declared within which time silence is noticed.
    SilenceBound,
    /// The profile declares a largest body.
    LargestBody,
    /// A channel has a bound that a check can reach.
    Room,
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Need::Has(capability) => write!(f, "{capability}"),
            Need::Kind(ChannelKind::Queue) => f.write_str("a queue"),
            Need::Kind(ChannelKind::Topic) => f.write_str("a topic"),
            Need::Control(kind) => write!(f, "control: {kind}"),
            Need::SilenceBound => f.write_str("a bound on silence"),
            Need::LargestBody => f.write_str("a largest body"),
            Need::Room => f.write_str("a bounded channel"),
        }
    }
}

/// Whether a check can run.
#[derive(Clone, Copy)]
pub enum Runs {
    /// It runs.
    Now(fn(Scene) -> Running),
    /// What it is about is not built yet.
    Waiting(&'static str),
}

/// One check.
#[derive(Clone, Copy)]
pub struct Check {
    /// Its name: `ORD-KEY`. Never changed, never reused.
    pub name: &'static str,
    /// The rules of the contract that it proves.
    pub rules: &'static [&'static str],
    /// What must hold.
    pub promise: &'static str,
    /// What a failure means for a user.
    pub failure: &'static str,
    /// What it needs. Where that is absent it does not apply.
    pub needs: &'static [Need],
    /// How it is run.
    pub runs: Runs,
}

impl Check {
    /// Whether the broker is killed by it, which others would notice that use the same.
    #[must_use]
    pub fn kills(&self) -> bool {
        self.needs.contains(&Need::Control(HarmKind::Restart))
    }
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// Declares the checks of a family: the documentation of each function is what a failure means for a user.
macro_rules! checks {
    ($($name:literal $function:ident [$($rule:literal),*] needs [$($need:expr),*]
        $promise:literal; $failure:literal;)*) => {
        pub(super) const CHECKS: &[$crate::checks::Check] = &[$($crate::checks::Check {
            name: $name,
            rules: &[$($rule),*],
            promise: $promise,
            failure: $failure,
            needs: &[$($need),*],
            runs: $crate::checks::Runs::Now(|scene| Box::pin($function(scene))),
        }),*];
    };
}

mod ack;
mod attempts;
mod batches;
mod channels;
mod competing;
mod dead_letter_faults;
mod dead_letters;
mod delay;
mod fidelity;
mod guarantees;
mod large;
mod limits;
mod nack;
mod order;
mod publish;
mod reconnect;
mod redelivery;
mod redrive;
mod shutdown;
mod waiting;

/// All checks, in the order of the families.
#[must_use]
pub fn all() -> Vec<Check> {
    [
        publish::CHECKS,
        fidelity::CHECKS,
        order::CHECKS,
        ack::CHECKS,
        nack::CHECKS,
        redelivery::CHECKS,
        attempts::CHECKS,
        dead_letters::CHECKS,
        dead_letter_faults::CHECKS,
        redrive::CHECKS,
        delay::CHECKS,
        competing::CHECKS,
        batches::CHECKS,
        limits::CHECKS,
        shutdown::CHECKS,
        reconnect::CHECKS,
        large::CHECKS,
        channels::CHECKS,
        guarantees::CHECKS,
        waiting::CHECKS,
    ]
    .concat()
}

/// The check of this name.
#[must_use]
pub fn named(name: &str) -> Option<Check> {
    all().into_iter().find(|check| check.name == name)
}
