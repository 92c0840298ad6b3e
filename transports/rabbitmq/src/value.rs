//! Header values: AMQP's types on one side, ours on the other.

use lapin::types::generation::gen_value;
use lapin::types::parsing::parse_value;
use lapin::types::{AMQPValue, ByteArray};
use pontoon_core::wire::Value;

/// What values of AMQP's own types are marked with: arrays, tables, timestamps, decimals, nothing.
pub(crate) const ENCODING: &str = "amqp-0-9-1";

/// As AMQP has it. A native value that cannot be read, which only damage makes, travels as its bytes.
pub(crate) fn to_amqp(value: Value<'_>) -> AMQPValue {
    match value {
        Value::Str(text) => AMQPValue::LongString(text.into()),
        Value::Int(number) => AMQPValue::LongLongInt(number),
        Value::Float(number) => AMQPValue::Double(number),
        Value::Bool(truth) => AMQPValue::Boolean(truth),
        Value::Native { raw, .. } => match parse_value(raw) {
            Ok(([], native)) => native,
            _ => AMQPValue::ByteArray(ByteArray::from(raw)),
        },
        other => AMQPValue::ByteArray(ByteArray::from(other.as_bytes().unwrap_or_default())),
    }
}

/// Whether a value has no type of ours.
pub(crate) fn is_native(value: &AMQPValue) -> bool {
    matches!(
        value,
        AMQPValue::DecimalValue(_)
            | AMQPValue::FieldArray(_)
            | AMQPValue::Timestamp(_)
            | AMQPValue::FieldTable(_)
            | AMQPValue::Void
    )
}

/// The bytes of a native value, with its type before them.
pub(crate) fn encode(value: &AMQPValue) -> Vec<u8> {
    // Writing into a vector cannot fail.
    gen_value(value)(Vec::new().into()).map(|written| written.into_inner().0).unwrap_or_default()
}

/// As we have it, where it has a type of ours.
pub(crate) fn of_amqp(value: &AMQPValue) -> Option<Value<'_>> {
    Some(match value {
        AMQPValue::Boolean(truth) => Value::Bool(*truth),
        AMQPValue::ShortShortInt(number) => Value::Int((*number).into()),
        AMQPValue::ShortShortUInt(number) => Value::Int((*number).into()),
        AMQPValue::ShortInt(number) => Value::Int((*number).into()),
        AMQPValue::ShortUInt(number) => Value::Int((*number).into()),
        AMQPValue::LongInt(number) => Value::Int((*number).into()),
        AMQPValue::LongUInt(number) => Value::Int((*number).into()),
        AMQPValue::LongLongInt(number) => Value::Int(*number),
        AMQPValue::Float(number) => Value::Float((*number).into()),
        AMQPValue::Double(number) => Value::Float(*number),
        AMQPValue::ShortString(text) => Value::Str(text.as_str()),
        // Most clients write bytes as a long string, too.
        AMQPValue::LongString(text) => match std::str::from_utf8(text.as_bytes()) {
            Ok(text) => Value::Str(text),
            Err(_) => Value::Bytes(text.as_bytes()),
        },
        AMQPValue::ByteArray(bytes) => Value::Bytes(bytes.as_slice()),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use lapin::types::{FieldArray, FieldTable};

    #[test]
    fn native_values_come_back_as_they_were() {
        let mut table = FieldTable::default();
        table.insert("count".into(), AMQPValue::LongInt(-3));
        let mut array = FieldArray::default();
        array.push(AMQPValue::FieldTable(table));
        array.push(AMQPValue::Void);
        for native in [AMQPValue::FieldArray(array), AMQPValue::Timestamp(7), AMQPValue::Void] {
            assert!(is_native(&native) && of_amqp(&native).is_none());
            let raw = encode(&native);
            assert_eq!(to_amqp(Value::Native { encoding: ENCODING, raw: &raw }), native);
        }
        let damaged = Value::Native { encoding: ENCODING, raw: b"A\xff" };
        assert_eq!(to_amqp(damaged), AMQPValue::ByteArray(ByteArray::from(&b"A\xff"[..])));
        assert_eq!(of_amqp(&AMQPValue::LongString(vec![0xff].into())), Some(Value::Bytes(&[0xff])));
    }
}
