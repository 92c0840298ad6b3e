//! Headers of any program: a message comes out, and what is written of it reads as the same message.

use pontoon_core::Message;
use pontoon_core::wire::{Form, Native, Value, read, write};

const FORMS: [Form; 4] = [Form::TEXT_LIST, Form::TYPED_LIST, Form::TYPED_TABLE, Form::TEXT_TABLE];

/// Headers as owned values, by the form's types.
enum Owned {
    Str(String),
    Bytes(Vec<u8>),
    Int(i64),
    Float(f64),
    Bool(bool),
    Native(String, Vec<u8>),
}

impl Owned {
    fn of(value: Value<'_>) -> Self {
        match value {
            Value::Str(text) => Owned::Str(text.to_owned()),
            Value::Bytes(bytes) => Owned::Bytes(bytes.to_vec()),
            Value::Int(number) => Owned::Int(number),
            Value::Float(number) => Owned::Float(number),
            Value::Bool(truth) => Owned::Bool(truth),
            Value::Native { encoding, raw } => Owned::Native(encoding.to_owned(), raw.to_vec()),
            _ => Owned::Bool(false),
        }
    }

    fn value(&self) -> Value<'_> {
        match self {
            Owned::Str(text) => Value::Str(text),
            Owned::Bytes(bytes) => Value::Bytes(bytes),
            Owned::Int(number) => Value::Int(*number),
            Owned::Float(number) => Value::Float(*number),
            Owned::Bool(truth) => Value::Bool(*truth),
            Owned::Native(encoding, raw) => Value::Native { encoding, raw },
        }
    }
}

type Headers = Vec<(Vec<u8>, Owned)>;

/// The first byte chooses a form; then lines `name=value`, where the first letter of a value may give its type.
fn parse(input: &[u8], form: &Form) -> Headers {
    let lines = input.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let split = |line: &[u8]| {
        let at = line.iter().position(|byte| *byte == b'=').unwrap_or(line.len());
        (line[..at].to_vec(), line.get(at + 1..).unwrap_or_default().to_vec())
    };
    lines.map(split).map(|(name, value)| (name, typed(value, form))).collect()
}

fn typed(value: Vec<u8>, form: &Form) -> Owned {
    let number = || value.get(1..).and_then(|rest| std::str::from_utf8(rest).ok()).unwrap_or_default();
    match value.first() {
        Some(b'i') if form.typed => number().parse().map_or(Owned::Int(-1), Owned::Int),
        Some(b'f') if form.typed => number().parse().map_or(Owned::Float(f64::NAN), Owned::Float),
        Some(b't') if form.typed => Owned::Bool(value.len() > 1),
        Some(b'n') if form.typed => Owned::Native("fuzz".to_owned(), value[1..].to_vec()),
        _ => match String::from_utf8(value) {
            Ok(text) => Owned::Str(text),
            Err(error) => Owned::Bytes(error.into_bytes()),
        },
    }
}

fn message(headers: &Headers, form: &Form) -> pontoon_core::wire::Read {
    read(Message::new(""), form, headers.iter().map(|(name, value)| (name.as_slice(), value.value())))
}

fn written(message: &Message, form: &Form) -> Headers {
    let mut headers = Vec::new();
    write(message, form, &Native::NONE, |name, value| {
        let mut bytes = Vec::new();
        name.append_to(&mut bytes);
        headers.push((bytes, Owned::of(value)));
    });
    headers
}

pub(super) fn run(input: &[u8]) -> String {
    let (choice, rest) = input.split_first().map_or((0, input), |(first, rest)| (*first, rest));
    let form = FORMS[usize::from(choice) % FORMS.len()];
    let first = message(&parse(rest, &form), &form);
    assert!(first.message.validate().is_ok(), "{:?} cannot be published", first.message);
    let again = message(&written(&first.message, &form), &form);
    assert!(again.problem.is_none(), "{:?} does not travel: {:?}", first.message, again.problem);
    // Floats that are no numbers are equal to nothing; their text is.
    let (before, after) = (format!("{:?}", first.message), format!("{:?}", again.message));
    assert_eq!(before, after);
    format!("{:?} {}", first.problem.map(|problem| problem.kind()), again.message.headers.len())
}
