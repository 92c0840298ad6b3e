//! The settling half.

use std::sync::Arc;
use std::task::{Context, Poll};

use pontoon_core::Result;
use pontoon_core::driver::{AnySettler, Disposition, Late, Settled, Settler, Token};

use super::{Choice, dup};

pub(super) struct TamperedSettler {
    inner: AnySettler,
    again: Option<Arc<Choice>>,
}

impl TamperedSettler {
    pub(super) fn new(inner: AnySettler, again: Option<Arc<Choice>>) -> Self {
        TamperedSettler { inner, again }
    }
}

impl Settler for TamperedSettler {
    fn record(&mut self, what: &[(Token, Disposition<'_>)], answers: &mut Vec<Settled>) {
        match &self.again {
            Some(choice) => self.inner.record(&dup::tamper(choice, what), answers),
            None => self.inner.record(what, answers),
        }
    }
    fn poll_flush(&mut self, cx: &mut Context<'_>, late: &mut Vec<Late>) -> Poll<Result<()>> {
        self.inner.poll_flush(cx, late)
    }
    fn poll_close(&mut self, cx: &mut Context<'_>, late: &mut Vec<Late>) -> Poll<Result<()>> {
        self.inner.poll_close(cx, late)
    }
}
