//! Mutants of fidelity.

use pontoon_core::driver::Incoming;
use pontoon_core::{HeaderValue, Headers, Message};

use super::{Defect, Seat};

mutants! {
    "FID-BYTES" Lossy: "large bodies pass through a text" by ["corrupt"];
    "FID-HEADERS" Lowercase: "header names become lower case" by ["header-loss"];
    "HDR-TYPES" Stringify: "header values become text" by ["header-types", "header-loss"];
    "FID-STABLE" ForgetsConversation: "a message that comes again has lost its correlation" by ["identity-changed"];
    "FID-RESERVED" BelievesHeaders: "a user's header counts as failures" by ["spoofed"];
    "FID-OVERFLOW" FirstTen: "of many headers the first ten are kept" by ["header-loss"];
}

#[derive(Default)]
struct Lossy;

impl Defect for Lossy {
    fn arrive(&self, _: Seat<'_>, incoming: &mut Incoming) -> usize {
        if incoming.message.body.len() >= 4_096 {
            incoming.message.body = String::from_utf8_lossy(&incoming.message.body).into_owned().into();
        }
        1
    }
}

fn map_headers(message: &mut Message, change: impl Fn(&str, &HeaderValue) -> (String, HeaderValue)) {
    let mut changed = Headers::new();
    for (name, value) in message.headers.iter() {
        let (name, value) = change(name, value);
        changed.append(name, value);
    }
    message.headers = changed;
}

#[derive(Default)]
struct Lowercase;

impl Defect for Lowercase {
    fn arrive(&self, _: Seat<'_>, incoming: &mut Incoming) -> usize {
        map_headers(&mut incoming.message, |name, value| {
            // Names that no broker reserves.
            let reserved = name.starts_with("x-") || matches!(name, "CC" | "BCC");
            (if reserved { name.to_owned() } else { name.to_lowercase() }, value.clone())
        });
        1
    }
}

#[derive(Default)]
struct Stringify;

impl Defect for Stringify {
    fn arrive(&self, _: Seat<'_>, incoming: &mut Incoming) -> usize {
        map_headers(&mut incoming.message, |name, value| match value {
            HeaderValue::Float(number) => (name.to_owned(), number.to_string().into()),
            HeaderValue::Bool(truth) => (name.to_owned(), truth.to_string().into()),
            other => (name.to_owned(), other.clone()),
        });
        1
    }
}

#[derive(Default)]
struct ForgetsConversation;

impl Defect for ForgetsConversation {
    fn arrive(&self, _: Seat<'_>, incoming: &mut Incoming) -> usize {
        let again = incoming.failures > 0 || incoming.deliveries.is_some_and(|count| count > 1);
        if again && incoming.message.correlation().is_some() {
            let old = &incoming.message;
            let mut new = Message::new(old.body.clone()).with_id(old.id.clone()).with_history(old.history().clone());
            new.key.clone_from(&old.key);
            new.headers = old.headers.clone();
            new.type_name = old.type_name.clone();
            new.content_type = old.content_type.clone();
            new.timestamp_ms = old.timestamp_ms;
            incoming.message = new;
        }
        1
    }
}

#[derive(Default)]
struct BelievesHeaders;

impl Defect for BelievesHeaders {
    fn arrive(&self, _: Seat<'_>, incoming: &mut Incoming) -> usize {
        if let Some(HeaderValue::Int(count)) = incoming.message.headers.get("pontoon-failures") {
            incoming.failures += u32::try_from(*count).unwrap_or_default();
        }
        1
    }
}

#[derive(Default)]
struct FirstTen;

impl Defect for FirstTen {
    fn arrive(&self, _: Seat<'_>, incoming: &mut Incoming) -> usize {
        if incoming.message.headers.iter().count() > 20 {
            let mut kept = Headers::new();
            for (name, value) in incoming.message.headers.iter().take(10) {
                kept.append(name.clone(), value.clone());
            }
            incoming.message.headers = kept;
        }
        1
    }
}
