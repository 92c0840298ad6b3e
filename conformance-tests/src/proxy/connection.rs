//! Accepting clients, and one connection with its two directions.

use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};

use super::lane::{Reset, pass};
use super::{Direction, State};

pub(super) async fn accept(listener: TcpListener, state: Arc<State>) {
    loop {
        match listener.accept().await {
            Ok((client, _)) => {
                tokio::spawn(serve(client, state.clone()));
            }
            // Out of descriptors, or the client is gone already: neither ends the proxy, and it must not spin.
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(10)).await,
        }
    }
}

async fn serve(mut client: TcpStream, state: Arc<State>) {
    state.strikes.connected();
    let mut resets = state.resets.subscribe();
    let Ok(mut broker) = TcpStream::connect(state.upstream).await else {
        // As a client sees it that connects to a port where nobody listens.
        let _ = client.set_zero_linger();
        return;
    };
    let _ = (client.set_nodelay(true), broker.set_nodelay(true));
    let reset = {
        let ((from_client, to_client), (from_broker, to_broker)) = (client.split(), broker.split());
        let both = async {
            tokio::try_join!(
                pass(from_client, to_broker, Direction::Request, &state),
                pass(from_broker, to_client, Direction::Reply, &state),
            )
        };
        tokio::select! {
            ended = both => ended.err(),
            _ = resets.changed() => Some(Reset::OnPurpose),
        }
    };
    if let Some(why) = reset {
        if why == Reset::OnPurpose {
            state.strikes.reset();
        }
        let _ = (client.set_zero_linger(), broker.set_zero_linger());
    }
}
