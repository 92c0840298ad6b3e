//! Why a run could not take place.

use std::fmt;
use std::io;
use std::process::ExitCode;

use pontoon::ErrorKind;

use super::input::InputError;

/// Why a run could not take place.
#[derive(Debug)]
pub(crate) enum Wrong {
    /// The input cannot be used.
    Input(InputError),
    /// The journal cannot be written or read.
    Journal(io::Error),
    /// The operating system lets nobody listen to signals.
    Signals(io::Error),
    /// The broker cannot be reached, or refuses.
    Broker(pontoon::Error),
}

impl Wrong {
    /// 2 for what the caller can set right, 1 for the rest.
    #[must_use]
    pub(crate) fn exit_code(&self) -> ExitCode {
        let callers = match self {
            Wrong::Input(_) | Wrong::Journal(_) => true,
            Wrong::Broker(error) => {
                matches!(error.kind(), ErrorKind::InvalidUrl | ErrorKind::UnknownScheme | ErrorKind::InvalidConfig)
            }
            Wrong::Signals(_) => false,
        };
        ExitCode::from(if callers { 2 } else { 1 })
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Wrong::Input(error) => error.fmt(f),
            Wrong::Journal(error) => write!(f, "cannot write the journal: {error}"),
            Wrong::Signals(error) => write!(f, "cannot listen to signals: {error}"),
            Wrong::Broker(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Wrong {}
