use pontoon::Publisher;

#[derive(serde::Serialize, serde::Deserialize)]
struct Flight;

#[derive(serde::Serialize, serde::Deserialize)]
struct Order;

async fn publish(flights: Publisher<Flight>) {
    let _ = flights.publish(&Order).await;
}

fn main() {}
