//! What a handler publishes belongs to the message it handles.

use std::time::Duration;

use pontoon::prelude::*;
use pontoon::{Meta, Publisher, Subscribed};

use crate::support::{Seen, broker, until};

const ORDERS: Queue<Raw> = Queue::new("orders").dead_letter("orders.dead");
const BILLS: Topic<Raw> = Topic::new("bills").dead_letter("bills.dead");
const ARCHIVE: Subscribed<Raw> = BILLS.subscription("archive");

/// Correlation, causation, headers.
type Bill = (String, String, Vec<(String, String)>);

#[derive(Clone)]
struct App {
    bills: Publisher<Raw>,
    seen: Seen<Bill>,
}

async fn on_order(order: Raw, State(app): State<App>) -> Outcome {
    app.bills.publish(&order).await?;
    app.bills.publish_all([Raw::from("second")]).await.into_result()?;
    done()
}

async fn on_bill(_bill: Raw, meta: Meta, State(app): State<App>) -> Outcome {
    let text = |text: Option<&pontoon::Text>| text.map(ToString::to_string).unwrap_or_default();
    let headers = meta.headers().iter().map(|(n, v)| (n.to_string(), v.as_str().unwrap_or("?").to_owned())).collect();
    app.seen.push((text(meta.correlation()), text(meta.causation()), headers));
    done()
}

#[tokio::test(start_paused = true)]
async fn publishes_of_a_handler_inherit_correlation_causation_and_trace() {
    let broker = broker().await;
    broker.ensure(&ARCHIVE).await.unwrap();
    let app = App { bills: broker.publisher(BILLS).await.unwrap(), seen: Seen::default() };
    let orders = broker.publisher(ORDERS).await.unwrap();
    let traced = |message: pontoon::Message| {
        message
            .with_id("order-1")
            .with_header("traceparent", "00-trace-01")
            .with_header("tracestate", "a=b")
            .with_header("x", "y")
    };
    orders.publish_with(&Raw::from("o"), traced).await.unwrap();
    orders.publish_with(&Raw::from("o"), |m| m.with_id("order-2").with_correlation("talk")).await.unwrap();

    let seen = app.seen.clone();
    let all = async { until("four bills", || seen.len() == 4).await };
    let report = Worker::new(broker)
        .state(app.clone())
        .handle(ORDERS, on_order, Retry::never())
        .handle(ARCHIVE, on_bill, Retry::never())
        .run_until(all)
        .await
        .unwrap();
    assert_eq!(report.handled, 6, "{report}");
    let mut seen = app.seen.all();
    seen.sort();
    let trace = vec![("traceparent".to_owned(), "00-trace-01".to_owned()), ("tracestate".to_owned(), "a=b".to_owned())];
    let first = ("order-1".to_owned(), "order-1".to_owned(), trace);
    let second = ("talk".to_owned(), "order-2".to_owned(), vec![]);
    assert_eq!(seen, [first.clone(), first, second.clone(), second]);
}

#[tokio::test(start_paused = true)]
async fn the_pull_api_has_the_same_by_a_scope() {
    let broker = broker().await;
    broker.ensure(&ARCHIVE).await.unwrap();
    let bills = broker.publisher(BILLS).await.unwrap();
    broker.publisher(ORDERS).await.unwrap().publish_with(&Raw::from("o"), |m| m.with_id("order")).await.unwrap();
    let order = broker.subscribe(ORDERS).await.unwrap().next().await.unwrap().unwrap();
    order.scope(bills.publish(order.payload())).await.unwrap();
    let _ = order.ack();
    let bill = broker.subscribe(ARCHIVE).await.unwrap().next().await.unwrap().unwrap();
    assert_eq!(bill.message().causation().unwrap().as_str(), "order");
    let _ = bill.ack();
    bills.close(Duration::from_secs(1)).await.stats.confirmed.checked_sub(1).unwrap();
}
