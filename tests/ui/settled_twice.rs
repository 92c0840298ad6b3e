use pontoon::{Delivery, Raw};

fn settle(delivery: Delivery<Raw>) {
    let _ = delivery.ack();
    let _ = delivery.reject("after all");
}

fn main() {}
