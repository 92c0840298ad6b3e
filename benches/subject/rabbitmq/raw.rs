//! What all subjects by hand share: connections, and how a message becomes one of AMQP.

use std::time::{SystemTime, UNIX_EPOCH};

use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicGetOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions,
    QueuePurgeOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, Consumer};

use crate::bodies::Check;
use crate::{Failure, QUEUE, failure};

/// Deliveries that are outstanding at once.
pub(super) const PREFETCH: u16 = 512;

/// One connection that publishes, and one that consumes.
pub(super) struct Raw {
    publishing: Connection,
    consuming: Connection,
}

impl Raw {
    pub(super) async fn connect(url: &str) -> Result<Self, Failure> {
        let publishing = Connection::connect(url, ConnectionProperties::default()).await?;
        let consuming = Connection::connect(url, ConnectionProperties::default()).await?;
        Ok(Raw { publishing, consuming })
    }

    /// An empty queue.
    pub(super) async fn begin(&self) -> Result<(), Failure> {
        let channel = self.consuming.create_channel().await?;
        channel.queue_purge(QUEUE.into(), QueuePurgeOptions::default()).await?;
        channel.close(200, "done".into()).await?;
        Ok(())
    }

    /// A channel on which every publish is confirmed.
    pub(super) async fn confirming(&self) -> Result<Channel, Failure> {
        let channel = self.publishing.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        Ok(channel)
    }

    /// A channel with a consumer.
    pub(super) async fn consumer(&self) -> Result<(Channel, Consumer), Failure> {
        let channel = self.consuming.create_channel().await?;
        channel.basic_qos(PREFETCH, BasicQosOptions::default()).await?;
        let consume = channel.basic_consume(
            QUEUE.into(),
            "by-hand".into(),
            BasicConsumeOptions::default(),
            FieldTable::default(),
        );
        let consumer = consume.await?;
        Ok((channel, consumer))
    }

    /// Takes the oldest message out, and says which properties it has, with lengths and headers.
    pub(super) async fn first(&self, check: &mut Check) -> Result<String, Failure> {
        let channel = self.consuming.create_channel().await?;
        let got = channel.basic_get(QUEUE.into(), BasicGetOptions::default()).await?;
        let message = got.ok_or_else(|| failure("the queue is empty"))?.delivery;
        check.see(&message.data);
        channel.basic_ack(message.delivery_tag, BasicAckOptions::default()).await?;
        channel.close(200, "done".into()).await?;
        let with = &message.properties;
        let len = |text: &Option<lapin::types::ShortString>| text.as_ref().map(|text| text.as_str().len());
        Ok(format!(
            "id={:?} type={:?} content_type={:?} timestamp={:?} mode={:?} headers={:?} body={}",
            len(with.message_id()),
            len(with.kind()),
            len(with.content_type()),
            with.timestamp().is_some(),
            with.delivery_mode(),
            with.headers().as_ref().map(|table| table.inner().keys().map(|name| name.as_str()).collect::<Vec<_>>()),
            message.data.len(),
        ))
    }

    pub(super) async fn close(&self) -> Result<(), Failure> {
        self.publishing.close(200, "done".into()).await?;
        self.consuming.close(200, "done".into()).await?;
        Ok(())
    }
}

/// Makes sure that the broker has answered to all that was told it on this channel before.
pub(super) async fn worked_off(channel: &Channel) -> Result<(), Failure> {
    Ok(channel.basic_qos(PREFETCH, BasicQosOptions::default()).await?)
}

/// Publishes with the properties that the library writes; ends with the confirmation. The frames are in the client's
/// queue after the first poll.
pub(super) async fn publish(channel: &Channel, number: usize, body: &[u8]) -> Result<(), Failure> {
    let millis = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
    let mut headers = FieldTable::default();
    headers.insert("pontoon-v".into(), AMQPValue::LongLongInt(1));
    headers.insert("pontoon-timestamp".into(), AMQPValue::LongLongInt(millis as i64));
    let id = format!("{:08x}-{:04x}-7000-8000-{number:012x}", millis >> 16, millis & 0xffff);
    let properties = BasicProperties::default()
        .with_delivery_mode(2)
        .with_message_id(id.as_str().into())
        .with_timestamp(millis / 1000)
        .with_headers(headers);
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    let sent = channel.basic_publish("".into(), QUEUE.into(), options, body, properties).await?;
    match sent.await? {
        Confirmation::Ack(None) => Ok(()),
        _ => Err(failure("a message was not stored")),
    }
}
