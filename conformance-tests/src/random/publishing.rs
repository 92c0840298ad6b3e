//! One publisher's part of a schedule.

use pontoon_core::{Capability, HeaderValue, Key};
use tokio::time::sleep;

use super::Stage;
use super::plan::Plan;
use crate::tap::{Spec, TappedPublisher};

/// Publishes by bursts: one by one, many at once, or enqueued and waited for later.
pub(super) async fn publish(stage: Stage, plan: Plan, publisher: TappedPublisher, mut random: fastrand::Rng) {
    let mut left = plan.messages;
    while left > 0 {
        let count = random.usize(1..6).min(left);
        left -= count;
        let burst: Vec<Spec> = (0..count).map(|_| spec(&stage, &plan, &mut random)).collect();
        match random.u8(..3) {
            0 => {
                for spec in &burst {
                    let _ = publisher.publish(spec).await;
                }
            }
            1 => drop(publisher.publish_all(burst).await),
            _ => {
                let mut pending = Vec::new();
                for spec in &burst {
                    if let Ok(one) = publisher.enqueue(spec).await {
                        pending.push(one);
                    }
                }
                for (id, one) in pending {
                    let _ = publisher.settle(id, one).await;
                }
            }
        }
        sleep(stage.ms(random.u64(0..40))).await;
    }
    let _ = publisher.close(stage.ms(30_000)).await;
}

fn spec(stage: &Stage, plan: &Plan, random: &mut fastrand::Rng) -> Spec {
    let one_in = |random: &mut fastrand::Rng, n: u8| random.u8(..n) == 0;
    let mut spec = Spec { len: if one_in(random, 20) { 4_096 } else { random.usize(..200) }, ..Spec::default() };
    if !one_in(random, 6) {
        spec.key = Some(Key::from(random.u64(..plan.keys)));
    }
    for _ in 0..random.usize(..3) {
        let value = match random.u8(..3) {
            0 => HeaderValue::from("väl\u{fc}e"),
            1 => HeaderValue::from(random.i64(..)),
            _ => HeaderValue::from(random.bool()),
        };
        spec.headers.push((format!("h{}", random.u8(..4)), value));
    }
    if one_in(random, 8) && plan.can(Capability::PublishDelay) {
        spec.delay = Some(stage.ms(random.u64(1..80)));
    }
    if one_in(random, 8) && plan.can(Capability::MessageTtl) {
        spec.ttl = Some(stage.ms(if random.bool() { 30 } else { 60_000 }));
    }
    if one_in(random, 8) && plan.can(Capability::Priority) {
        spec.priority = Some(random.u8(..4));
    }
    spec
}
