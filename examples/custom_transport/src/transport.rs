//! One connection: what it can do, declaring, opening, closing.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use pontoon_core::driver::adapter::{CallLimits, SimpleTransport};
use pontoon_core::driver::{BoxFuture, DepthReport, Ensure, Extensions, OpenConsumer, QueueDepth};
use pontoon_core::{Capabilities, Capability, Channel, ChannelKind, Level, MAX_DURATION, Result, Source};

use crate::command::Command;
use crate::consumer::FileConsumer;
use crate::folder::Folder;
use crate::link::Link;
use crate::publisher::FilePublisher;
use crate::{error, facts};

/// One connection to the broker of a folder.
#[derive(Debug)]
pub struct FileTransport {
    folder: Folder,
    /// What was opened over it and is still used; `None` when it was closed.
    open: Mutex<Option<Vec<Weak<Link>>>>,
}

impl FileTransport {
    /// A connection of its own.
    #[must_use]
    pub fn new(folder: Folder) -> Self {
        FileTransport { folder, open: Mutex::new(Some(Vec::new())) }
    }

    /// A way to the broker that ends with this connection.
    async fn link(&self, operation: &'static str) -> Result<Arc<Link>> {
        let link = Arc::new(self.folder.link().await?);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let open = open.as_mut().ok_or_else(|| error::closed(operation))?;
        open.retain(|link| link.strong_count() > 0);
        open.push(Arc::downgrade(&link));
        Ok(link)
    }
}

impl SimpleTransport for FileTransport {
    type Publisher = FilePublisher;
    type Consumer = FileConsumer;

    fn capabilities(&self, _: &Channel) -> Capabilities {
        let config = self.folder.config();
        let mut found = Capabilities::new("file-queue")
            .with(Capability::SurvivesProcessCrash, Level::Native)
            .with(Capability::RejectWithReason, Level::Emulated)
            .with(Capability::AttemptCount, Level::Native)
            .with(Capability::UncountedRelease, Level::Native)
            .with(Capability::CrashLoopNet, Level::Native)
            .with(Capability::RetryDelay, Level::Native)
            .with(Capability::PublishDelay, Level::Native)
            .with(Capability::StaleDetection, Level::Native)
            .with(Capability::AckConfirmed, Level::Native)
            .with(Capability::AtMostOnce, Level::Native)
            .with(Capability::Depth, Level::Native);
        if config.sync {
            found.set(Capability::SurvivesPowerLoss, Level::Native);
        }
        found.limits.max_body = Some(config.max_body);
        found.limits.max_delay = Some(MAX_DURATION);
        found.behaviour.counts_failures = true;
        found
    }

    /// Fewer messages than the default in one publish: together they are one frame, and one answer waits for all of it.
    fn call_limits(&self) -> CallLimits {
        CallLimits::default().with_publishes(64, 1)
    }

    async fn ensure(&self, what: &Ensure) -> Result<()> {
        let name = what.channel.name.as_str();
        let topic = what.channel.kind == ChannelKind::Topic;
        let facts = (!what.channel.existing && !topic).then(|| facts::of(&what.channel));
        let queue = name.to_owned();
        let link = self.link("ensure channel").await?;
        let found = link.ask("ensure channel", |reply| Command::Declare { queue, facts, reply }).await?;
        match found {
            Ok(_) if topic => Err(error::conflict(name, "kind", "queue", "topic")),
            Err(_) if topic => Err(error::unsupported("ensure channel", "topics")),
            found => found.map(|_| ()),
        }
    }

    async fn open_publisher(&self, channel: &Channel) -> Result<FilePublisher> {
        let link = self.link("open publisher").await?;
        Ok(FilePublisher { link, queue: channel.name.as_str().to_owned() })
    }

    async fn open_consumer(&self, how: &OpenConsumer) -> Result<FileConsumer> {
        let link = self.link("open consumer").await?;
        let queue = how.source.channel.name.as_str().to_owned();
        let queue = link.ask("open consumer", |reply| Command::Declare { queue, facts: None, reply }).await??;
        Ok(FileConsumer { link, queue, longest_read: how.longest_read })
    }

    fn extensions(&self) -> Extensions {
        let mut extensions = Extensions::none();
        extensions.depth = Some(Arc::new(Depth(self.folder.clone())));
        extensions
    }

    async fn close(&self) -> Result<()> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner).take();
        open.into_iter().flatten().filter_map(|link| link.upgrade()).for_each(|link| link.close());
        Ok(())
    }
}

/// Counts messages.
struct Depth(Folder);

impl QueueDepth for Depth {
    fn depth<'a>(&'a self, source: &'a Source) -> BoxFuture<'a, Result<DepthReport>> {
        let queue = source.channel.name.as_str().to_owned();
        Box::pin(async move { self.0.link().await?.ask("depth", |reply| Command::Depth { queue, reply }).await? })
    }
}
