//! Hunting: inputs for one target until the time is up or it panics.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use fastrand::Rng;

use crate::change;
use crate::targets::Target;

/// How many inputs the pool may hold.
const POOL: usize = 2_000;

/// What a hunt found.
#[derive(Debug)]
pub struct Found {
    /// Inputs that were tried.
    pub inputs: u64,
    /// Kinds of answers that were seen.
    pub kinds: usize,
    /// The input that made the target panic.
    pub panicked: Option<Vec<u8>>,
}

/// What kind of answer the target gave to the input; nothing when it panicked, whose words are on standard error.
#[must_use]
pub fn try_one(target: &Target, input: &[u8]) -> Option<u64> {
    let mut kind = DefaultHasher::new();
    let answer = catch_unwind(AssertUnwindSafe(|| (target.run)(input))).ok()?;
    answer.hash(&mut kind);
    Some(kind.finish())
}

/// Tries the corpus, then ever new inputs made from it.
#[must_use]
pub fn hunt(target: &Target, corpus: Vec<Vec<u8>>, seed: u64, time: Duration) -> Found {
    let began = Instant::now();
    let mut random = Rng::with_seed(seed);
    let mut kinds = HashSet::new();
    let mut pool = Vec::new();
    let mut inputs = 0;
    let mut committed = corpus.into_iter();
    loop {
        let input = match committed.next() {
            Some(input) => input,
            None if began.elapsed() >= time => return Found { inputs, kinds: kinds.len(), panicked: None },
            None => change::another(&pool, &mut random),
        };
        inputs += 1;
        match try_one(target, &input) {
            None => return Found { inputs, kinds: kinds.len(), panicked: Some(input) },
            Some(kind) => {
                if kinds.insert(kind) && pool.len() < POOL {
                    pool.push(input);
                }
            }
        }
    }
}
