//! A vector that grows by pages: what it holds never moves, so that a long backlog costs no copying.

/// Entries of a page, as a power of two.
const BITS: u32 = 8;
const PAGE: usize = 1 << BITS;

#[derive(Debug)]
pub(super) struct Pages<T> {
    pages: Vec<Vec<T>>,
    len: usize,
}

impl<T> Default for Pages<T> {
    fn default() -> Self {
        Pages { pages: Vec::new(), len: 0 }
    }
}

impl<T> Pages<T> {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn push(&mut self, value: T) {
        if self.len.is_multiple_of(PAGE) {
            // The first page starts small: most queues hold little.
            self.pages.push(if self.len == 0 { Vec::new() } else { Vec::with_capacity(PAGE) });
        }
        if let Some(page) = self.pages.last_mut() {
            page.push(value);
            self.len += 1;
        }
    }

    #[inline]
    pub(super) fn get(&self, at: u32) -> Option<&T> {
        self.pages.get((at >> BITS) as usize)?.get(at as usize % PAGE)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.pages.iter().flatten()
    }
}

impl<T> std::ops::Index<u32> for Pages<T> {
    type Output = T;
    #[inline]
    fn index(&self, at: u32) -> &T {
        &self.pages[(at >> BITS) as usize][at as usize % PAGE]
    }
}

impl<T> std::ops::IndexMut<u32> for Pages<T> {
    #[inline]
    fn index_mut(&mut self, at: u32) -> &mut T {
        &mut self.pages[(at >> BITS) as usize][at as usize % PAGE]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_vector_over_the_borders_of_pages() {
        let mut pages = Pages::default();
        for n in 0..3 * PAGE + 5 {
            assert_eq!((pages.len(), pages.get(n as u32)), (n, None));
            pages.push(n);
        }
        pages[PAGE as u32] = 7;
        let seen: Vec<usize> = pages.iter().copied().collect();
        assert_eq!((seen.len(), seen[PAGE - 1], seen[PAGE], seen[PAGE + 1]), (3 * PAGE + 5, PAGE - 1, 7, PAGE + 1));
        assert!((0..3 * PAGE + 5).all(|n| pages[n as u32] == seen[n] && pages.get(n as u32) == Some(&seen[n])));
    }
}
