//! Fidelity: what was published is what arrives.

use pontoon_core::{Bytes, HeaderValue, MessageId, Text};

use crate::scene::{End, Held, Reader, Scene, hold};

checks! {
    "FID-BYTES" bodies_are_untouched ["C3.2", "W6"] needs []
        "Bodies arrive byte for byte, empty and large ones, and bytes that are no text";
        "images, archives and encrypted bodies arrive broken";
    "FID-HEADERS" headers_are_untouched ["C3.2", "W8"] needs []
        "Headers arrive as they were: empty, long, in any script, told apart by case";
        "a header is missing or has another name, and whoever reads it takes the wrong branch";
    "HDR-TYPES" header_values_keep_their_types ["W8"] needs []
        "Typed and repeated header values arrive as they were, in their order";
        "a number arrives as text, or of two values only one";
    "FID-STABLE" identity_survives ["C5.1", "C8.2"] needs []
        "Id, key, type, content type and correlation are the same in every delivery and in the dead letter";
        "a retried message cannot be recognised, so that its effect happens twice";
    "FID-RESERVED" control_headers_are_only_headers ["W9", "W14"] needs []
        "A user's header that looks like one of the broker's or of the library steers nothing and arrives";
        "whoever may publish can redirect messages or forge their history";
    "FID-OVERFLOW" many_headers_arrive_or_are_refused ["W8", "W10"] needs []
        "More headers than a broker has room for arrive all the same, or the message is refused";
        "headers beyond the tenth are missing without a word";
}

async fn bodies_are_untouched(scene: Scene) -> Held {
    let place = scene.place()?;
    let (sender, reader) = (scene.publisher(&place).await?, scene.consumer(&place).await?);
    let lengths = [0, 1, 2, 35, 36, 37, 255, 256, 257, 4_095, 4_096, 65_535, 65_536];
    sender.put(lengths.iter().map(|len| sender.draft_of(Some("k"), *len)).collect()).await?;
    let mut seen: Vec<usize> = Vec::new();
    while let Some(taken) = reader.next_of(seen.len(), lengths.len()).await? {
        seen.push(taken.message().body.len());
        let _ = taken.ack();
    }
    seen.sort_unstable();
    hold!(seen == lengths, "corrupt", "bodies of {lengths:?} bytes were published, of {seen:?} bytes arrived");
    Ok(())
}

async fn headers_are_untouched(scene: Scene) -> Held {
    let place = scene.place()?;
    let (sender, reader) = (scene.publisher(&place).await?, scene.consumer(&place).await?);
    let long = "8 KiB of text ".repeat(585);
    let mut all = Vec::new();
    for (name, value) in [
        ("empty", ""),
        ("Case", "upper"),
        ("case", "lower"),
        ("größe", "zehn €"),
        ("名前", "値"),
        ("with space", " around "),
        ("line", "one\ntwo\0three"),
        ("long", long.as_str()),
    ] {
        all.push(sender.draft(None).with_header(name, value));
    }
    let many = ["Case", "case", "CASE"].iter().fold(sender.draft(None), |m, name| m.with_header(*name, *name));
    all.push(many);
    sender.put(all).await?;
    reader.ack_rest().await?;
    Ok(())
}

async fn header_values_keep_their_types(scene: Scene) -> Held {
    let place = scene.place()?;
    let (sender, reader) = (scene.publisher(&place).await?, scene.consumer(&place).await?);
    let values: Vec<(&str, HeaderValue)> = vec![
        ("text", "17".into()),
        ("int", HeaderValue::Int(17)),
        ("least", HeaderValue::Int(i64::MIN)),
        ("float", HeaderValue::Float(0.1)),
        ("yes", HeaderValue::Bool(true)),
        ("bytes", HeaderValue::Bytes(Bytes::from_static(&[0, 255, 128, 10]))),
        ("repeated", "first".into()),
        ("repeated", HeaderValue::Int(2)),
        ("repeated", "third".into()),
    ];
    let message = values.iter().fold(sender.draft(None), |m, (name, value)| m.with_header(*name, value.clone()));
    sender.put(vec![message]).await?;
    let taken = reader.next().await?;
    let found: Vec<(&str, HeaderValue)> =
        taken.message().headers.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
    hold!(found == values, "header-types", "published {values:?}, arrived {found:?}");
    let _ = taken.ack();
    Ok(())
}

/// What must stay the same of a message.
#[derive(Debug, PartialEq)]
struct Identity(MessageId, Option<Vec<u8>>, Text, Text, Option<Text>, Bytes);

fn identity(message: &pontoon_core::Message) -> Identity {
    Identity(
        message.id.clone(),
        message.key.as_ref().map(|key| key.as_bytes().to_vec()),
        message.type_name.clone(),
        message.content_type.clone(),
        message.correlation().cloned(),
        message.body.clone(),
    )
}

async fn same(reader: &Reader, published: &Identity, when: &str, end: End) -> Held {
    let taken = reader.next().await?;
    let found = identity(taken.message());
    hold!(found == *published, "identity-changed", "{when}: published {published:?}, delivered {found:?}");
    let _ = taken.end(end);
    Ok(())
}

async fn identity_survives(scene: Scene) -> Held {
    let place = scene.place()?;
    let (sender, reader) = (scene.publisher(&place).await?, scene.consumer(&place).await?);
    let message = sender
        .draft(Some("the key"))
        .with_type("Order")
        .with_content_type("application/x-test")
        .with_correlation("conversation-7");
    let published = identity(&message);
    sender.put(vec![message]).await?;
    same(&reader, &published, "the first delivery", End::Release).await?;
    same(&reader, &published, "after a release", End::Retry(None, "once".into())).await?;
    same(&reader, &published, "after a retry", End::Reject("enough".into())).await?;
    for (letter, _) in scene.bury(&place, 1).await? {
        let found = identity(&letter);
        hold!(found == published, "identity-changed", "published {published:?}, dead-lettered {found:?}");
    }
    Ok(())
}

async fn control_headers_are_only_headers(scene: Scene) -> Held {
    let (place, other) = (scene.place()?, scene.place()?);
    let (sender, reader) = (scene.publisher(&place).await?, scene.consumer(&place).await?);
    let elsewhere = scene.consumer(&other).await?;
    let target = other.channel.name.as_str().to_owned();
    let names = [
        "CC",
        "BCC",
        "x-delay",
        "x-death",
        "x-delivery-count",
        "x-match",
        "pontoon-v",
        "pontoon-failures",
        "pontoon-deliveries",
        "pontoon-hops",
        "pontoon-duplicate",
        "pontoon-only-for",
        "pontoon-dead-letter",
        "pontoon-anything",
    ];
    let message = names.iter().fold(sender.draft(None), |m, name| m.with_header(*name, target.clone()));
    let published: Vec<String> = names.iter().map(ToString::to_string).collect();
    sender.put(vec![message, sender.draft(None).with_header("pontoon-failures", 7)]).await?;
    let taken = reader.next().await?;
    let found: Vec<String> = taken.message().headers.iter().map(|(name, _)| name.to_string()).collect();
    hold!(found == published, "header-loss", "published {published:?}, arrived {found:?}");
    for (which, taken) in [("names", taken), ("numbers", reader.next().await?)] {
        let (attempt, history) = (taken.attempt(), taken.message().history().clone());
        hold!(attempt.is_first(), "spoofed", "{which}: a header made this attempt {attempt}");
        let clean = history.hops == 0 && !history.maybe_duplicate && history.dead_letter.is_none();
        hold!(clean, "spoofed", "{which}: a header forged the history: {history:?}");
        let _ = taken.ack();
    }
    elsewhere.nothing(scene.timings().quiet() / 2, "spoofed").await
}

async fn many_headers_arrive_or_are_refused(scene: Scene) -> Held {
    let place = scene.place()?;
    let (sender, reader) = (scene.publisher(&place).await?, scene.consumer(&place).await?);
    for count in [11, 64, 200, 256] {
        let message = (0..count).fold(sender.draft(None), |m, n| m.with_header(format!("header-{n}"), format!("{n}")));
        // Either way is right; what arrives is judged.
        let _ = scene.in_time("an outcome", sender.send(message)).await?;
    }
    let beyond = (0..257).fold(sender.draft(None), |m, n| m.with_header(format!("h{n}"), "x"));
    let outcome = scene.in_time("an outcome", sender.send(beyond)).await?;
    hold!(outcome.is_err(), "accepted-invalid", "a message with 257 headers was accepted");
    reader.ack_rest().await?;
    Ok(())
}
