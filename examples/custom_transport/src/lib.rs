//! A transport of pontoon over a folder of the file system: queues that survive their process, without a server.
//!
//! One thread of this process is the broker of a folder ([`Folder`]); what `connect` gives talks to it as it would to a
//! server. Each file has one job: `config` is what a user can set; `record`, `journal` and `disk` are what lies on the
//! disk; `facts` what a queue was declared as; `queues` who holds which message, without I/O; `broker` the thread; `folder`
//! its life; `link`, `transport`, `publisher` and `consumer` one connection; `error` words what went wrong.

mod broker;
mod clock;
mod command;
mod config;
mod consumer;
mod disk;
mod error;
mod facts;
mod folder;
mod journal;
mod link;
mod publisher;
mod queues;
mod record;
mod transport;

use pontoon_core::driver::AnyTransport;
use pontoon_core::driver::adapter::Adapter;

pub use config::FolderConfig;
pub use folder::Folder;
pub use transport::FileTransport;

/// A connection of its own to the broker of this folder. Any number of them share its queues.
#[must_use]
pub fn connect(folder: &Folder) -> AnyTransport {
    AnyTransport::new(Adapter::new(FileTransport::new(folder.clone())))
}
