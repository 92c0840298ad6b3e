//! JSON, the codec of a channel that names none.

/// JSON by `serde_json`: the default codec. Needs the feature `json`, which is on unless switched off.
#[derive(Clone, Copy, Debug)]
pub struct Json;

#[cfg(feature = "json")]
mod with_serde {
    use bytes::{BufMut, Bytes, BytesMut};
    use pontoon_core::{Error, ErrorKind, Result};
    use serde::Serialize;
    use serde::de::DeserializeOwned;

    use crate::codec::{Codec, failed};

    // Not recommended: the error of `Codec` also tells of other codecs.
    #[diagnostic::do_not_recommend]
    impl<T: Serialize + DeserializeOwned> Codec<T> for super::Json {
        const CONTENT_TYPE: &'static str = "application/json";

        fn encode(payload: &T, buffer: &mut BytesMut) -> Result<Bytes> {
            serde_json::to_writer((&mut *buffer).writer(), payload)
                .map_err(|error| failed("encode payload", "cannot be written as JSON", error))?;
            Ok(buffer.split().freeze())
        }

        fn decode(body: &Bytes) -> Result<T> {
            serde_json::from_slice(body).map_err(|error| {
                Error::new(
                    ErrorKind::Codec,
                    "decode payload",
                    format!("not the expected JSON: {}", without_payload(&error)),
                )
            })
        }
    }

    /// What went wrong and where, without what stood there: serde quotes the offending value, and this text goes into
    /// dead letters and logs.
    fn without_payload(error: &serde_json::Error) -> String {
        let text = error.to_string();
        match (error.classify(), text.rsplit_once(", expected ")) {
            _ if text.starts_with("missing field ") => text,
            // What is expected comes from the type, and stands last.
            (serde_json::error::Category::Data, Some((_, expected))) => format!("expected {expected}"),
            (serde_json::error::Category::Data, None) => {
                format!("a value of the wrong kind at line {} column {}", error.line(), error.column())
            }
            _ => text,
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;
        use crate::Json;

        #[derive(Debug, serde::Serialize, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Account {
            number: u32,
        }

        #[test]
        fn errors_tell_what_is_wrong_and_quote_no_payload() {
            for (body, told) in [
                (r#"{"number": "hunter2"}"#, "expected u32 at line 1"),
                (r#"{"number": "x, expected hunter2"}"#, "expected u32 at line 1"),
                (r#"{}"#, "missing field `number`"),
                (r#"{"number": 1, "hunter2": 2}"#, "expected `number`"),
                (r#"{"number": 1"#, "EOF while parsing"),
                ("hunter2", "expected value at line 1"),
            ] {
                let error = <Json as Codec<Account>>::decode(&Bytes::from_static(body.as_bytes())).unwrap_err();
                let text = format!("{error} {error:?}");
                assert!(text.contains(told) && !text.contains("hunter2"), "{body}: {text}");
                assert_eq!(error.kind(), ErrorKind::Codec);
            }
        }
    }
}
