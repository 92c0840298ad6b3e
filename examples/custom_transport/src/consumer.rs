//! The consuming half of one connection.

use std::sync::Arc;
use std::time::Duration;

use pontoon_core::Result;
use pontoon_core::driver::adapter::{SettleOutcome, Settlement, SimpleConsumer};
use pontoon_core::driver::{Incoming, Token};

use crate::command::Command;
use crate::error;
use crate::link::Link;

/// The longest a read waits here: a drain waits for the read under way, and asking again costs little.
const LONGEST_READ: Duration = Duration::from_millis(200);

/// One generation of a consumer. What it holds goes back when it is dropped.
#[derive(Debug)]
pub struct FileConsumer {
    pub(crate) link: Arc<Link>,
    pub(crate) queue: usize,
    pub(crate) longest_read: Duration,
}

impl SimpleConsumer for FileConsumer {
    fn lease(&self) -> Option<Duration> {
        None
    }

    async fn receive(&self, max: usize) -> Result<Vec<Incoming>> {
        let (by, queue) = (self.link.number, self.queue);
        let mut answer = self.link.begin("receive", |reply| Command::Receive { by, queue, max, reply })?;
        if let Ok(answer) = tokio::time::timeout(self.longest_read.min(LONGEST_READ), &mut answer).await {
            return answer.map_err(|_| error::lost("receive"));
        }
        // From here on an answer finds nobody, and its messages stay in the queue; one that came just before counts.
        answer.close();
        Ok(answer.try_recv().unwrap_or_default())
    }

    async fn settle(&self, what: Vec<(Token, Settlement)>) -> Result<Vec<SettleOutcome>> {
        let by = self.link.number;
        self.link.ask("settle", |reply| Command::Settle { by, what, reply }).await
    }

    async fn close(&self) -> Result<()> {
        self.link.close();
        Ok(())
    }
}

impl Drop for FileConsumer {
    fn drop(&mut self) {
        self.link.close();
    }
}
