//! Settings as a URL's query has them, and the chance of a fault.

use pontoon_memory::{Chance, MemoryConfig};

use super::text;

pub(super) fn run(input: &[u8]) -> String {
    let text = text(input);
    if let Ok(chance) = text.parse::<Chance>() {
        assert_eq!(chance.to_string().parse(), Ok(chance), "{text}");
    }
    let pairs = url::form_urlencoded::parse(input).into_owned();
    match MemoryConfig::from_pairs(pairs) {
        Ok(_) => "read".to_owned(),
        Err(error) => format!("{:?} {}", error.kind(), error.message().len()),
    }
}
