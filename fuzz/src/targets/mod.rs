//! What is fuzzed. A target reads an input and says what kind of answer came; beside "no panic" each checks a property.

mod headers;
mod history;
mod names;
mod packed;
mod settings;
mod url;

/// Something that reads foreign input.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name, which is its folder's in the corpus.
    pub name: &'static str,
    /// Reads one input; panics when a promise is broken.
    pub run: fn(&[u8]) -> String,
}

/// Every target.
pub const TARGETS: &[Target] = &[
    Target { name: "url", run: url::run },
    Target { name: "names", run: names::run },
    Target { name: "settings", run: settings::run },
    Target { name: "headers", run: headers::run },
    Target { name: "packed", run: packed::run },
    Target { name: "history", run: history::run },
];

/// The input as text; what is no UTF-8 is replaced.
fn text(input: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(input)
}
