//! Bodies with a number each, and the check that every number comes out once.

use bytes::{Bytes, BytesMut};

/// Different contents, so that nothing can profit from equal ones.
const POOL: usize = 1024;

/// `count` bodies of `size` bytes; the first eight are the number.
pub(crate) fn make(size: usize, count: usize) -> Vec<Bytes> {
    let size = size.max(8);
    // The same noise in every process: a small generator with a fixed beginning.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let pool: Vec<Vec<u8>> = (0..POOL)
        .map(|_| {
            let noise = std::iter::repeat_with(|| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state.to_le_bytes()
            });
            noise.flatten().take(size - 8).collect()
        })
        .collect();
    let mut all = BytesMut::with_capacity(size * count);
    for (number, noise) in (0_u64..).zip(pool.iter().cycle()).take(count) {
        all.extend_from_slice(&number.to_le_bytes());
        all.extend_from_slice(noise);
    }
    let all = all.freeze();
    (0..count).map(|index| all.slice(index * size..(index + 1) * size)).collect()
}

/// Which numbers came out.
pub(crate) struct Check {
    seen: Vec<bool>,
    twice: usize,
    strange: usize,
    stale: u64,
}

impl Check {
    /// For `count` numbers.
    pub(crate) fn new(count: usize) -> Self {
        Self { seen: vec![false; count], twice: 0, strange: 0, stale: 0 }
    }

    /// Notes one body.
    pub(crate) fn see(&mut self, body: &[u8]) {
        let number = body.first_chunk().map(|first| u64::from_le_bytes(*first));
        match number.and_then(|number| self.seen.get_mut(usize::try_from(number).ok()?)) {
            Some(seen) if *seen => self.twice += 1,
            Some(seen) => *seen = true,
            None => self.strange += 1,
        }
    }

    /// Notes acknowledgements that came to nothing.
    pub(crate) fn stale(&mut self, count: u64) {
        self.stale += count;
    }

    /// What is wrong, if anything is.
    pub(crate) fn problem(&self) -> Option<String> {
        let lost = self.seen.iter().filter(|seen| !**seen).count();
        let Self { twice, strange, stale, .. } = self;
        (lost + twice + strange > 0 || *stale > 0)
            .then(|| format!("{lost} lost, {twice} twice, {strange} strange, {stale} acknowledged in vain"))
    }
}
