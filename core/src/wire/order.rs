//! The order of headers, on brokers that keep none: where each belongs, in the order of the names.

use std::fmt::Write;

use crate::{HeaderValue, Headers, Text};

use super::gather::Gather;

/// The header that says it.
pub(super) const ORDER: &str = "pontoon-order";

/// The places of the headers as `2,0,1`: of those sorted by name, the first belongs at place 2. `None` where they are
/// in that order as they stand.
pub(super) fn places(headers: &Headers) -> Option<String> {
    let mut names: Vec<(&Text, usize)> = headers.iter().enumerate().map(|(at, (name, _))| (name, at)).collect();
    if names.is_sorted() {
        return None;
    }
    names.sort();
    let mut places = String::with_capacity(names.len() * 3);
    for (n, (_, at)) in names.iter().enumerate() {
        let comma = if n == 0 { "" } else { "," };
        // Writing to a string cannot fail.
        let _ = write!(places, "{comma}{at}");
    }
    Some(places)
}

/// Headers as they came, each with how many of its name go before it.
pub(super) type Unordered = Vec<(Text, usize, HeaderValue)>;

/// Hands over headers in the order that `places` tells; where it does not fit them, in the order of their names.
pub(super) fn restore(mut headers: Unordered, places: Option<&str>, to: &mut Gather) {
    headers.sort_by(|(a, m, _), (b, n, _)| (a, m).cmp(&(b, n)));
    let mut ordered: Vec<Option<(Text, usize, HeaderValue)>> = Vec::new();
    if let Some(places) = places.and_then(|places| read(places, headers.len())) {
        ordered.resize_with(headers.len(), || None);
        for (place, header) in places.into_iter().zip(headers.drain(..)) {
            ordered[place] = Some(header);
        }
    }
    for (name, _, value) in ordered.into_iter().flatten().chain(headers) {
        to.header(name, value);
    }
}

/// The places, if they are a permutation of as many as there are.
fn read(places: &str, count: usize) -> Option<Vec<usize>> {
    let mut taken = vec![false; count];
    let mut found = Vec::with_capacity(count);
    for place in places.split(',') {
        let place: usize = place.parse().ok()?;
        let taken = taken.get_mut(place)?;
        if std::mem::replace(taken, true) {
            return None;
        }
        found.push(place);
    }
    (found.len() == count).then_some(found)
}
