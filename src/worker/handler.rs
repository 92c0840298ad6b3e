//! What a handler is: an `async fn` with owned arguments, checked in steps so that the compiler can say which is wrong.
//!
//! `Handler` only takes the function apart into arguments and what it returns. Whether those fit is asked by separate
//! bounds ([`Arguments`], [`AsyncReturn`], [`IntoOutcome`]), each with a message of its own: one bound for all of it
//! could only answer "this is no handler".

use std::future::Future;

use super::{Extract, Failure, IntoOutcome, Job};

/// A function that can handle messages: up to nine arguments, each by value, the payload first.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a handler",
    label = "not a function of one to nine owned arguments",
    note = "a handler is an `async fn(payload, extractors…) -> Outcome` that is `Clone + Send + Sync + 'static`; a closure \
            needs its argument types written out: `|flight: Flight| async move {{ … }}`"
)]
pub trait Handler<Args>: Clone + Send + Sync + 'static {
    /// What calling it gives.
    type Returned;
    /// Calls it.
    fn call(&self, arguments: Args) -> Self::Returned;
}

/// Arguments of a handler for payloads `T` on a worker whose state is `S`: `T` itself, then extractors.
#[diagnostic::on_unimplemented(
    message = "the arguments `{Self}` do not fit a channel whose payload is `{T}`",
    label = "handles other arguments than `{T}` and extractors",
    note = "the first argument is the channel's payload, by value: `{T}`",
    note = "after it come, by value: `Attempt`, `State<X>`, `Meta`, `Headers`, `Header<H>`, `Option<Header<H>>`, `Lease`, \
            or a type that implements `Extract`"
)]
pub trait Arguments<T, S>: Sized + Send + 'static {
    /// Puts them together.
    ///
    /// # Errors
    /// Of the first extractor that has one.
    fn gather(payload: T, job: &Job, state: &S) -> Result<Self, Failure>;
}

/// What a handler's call must give: a future.
#[diagnostic::on_unimplemented(
    message = "the handler returns `{Self}`, which is not a future",
    label = "this handler is not async",
    note = "write `async fn`, or return an `async move {{ … }}` block"
)]
pub trait AsyncReturn: Future<Output = Self::Ends> + 'static {
    /// What the future ends in.
    type Ends;
}

// Not recommended: the error shall be the one above, which tells what to write, not that of `Future`.
#[diagnostic::do_not_recommend]
impl<F: Future + 'static> AsyncReturn for F {
    type Ends = F::Output;
}

macro_rules! arities {
    ($([$($argument:ident)*])*) => {$(
        impl<F, R, P, $($argument,)*> Handler<(P, $($argument,)*)> for F
        where
            F: Fn(P, $($argument,)*) -> R + Clone + Send + Sync + 'static,
        {
            type Returned = R;
            #[allow(non_snake_case)]
            fn call(&self, (payload, $($argument,)*): (P, $($argument,)*)) -> R {
                self(payload, $($argument,)*)
            }
        }

        impl<T, S, $($argument,)*> Arguments<T, S> for (T, $($argument,)*)
        where
            T: Send + 'static,
            $($argument: Extract<S> + Send + 'static,)*
        {
            #[allow(unused_variables)]
            fn gather(payload: T, job: &Job, state: &S) -> Result<Self, Failure> {
                Ok((payload, $($argument::extract(job, state)?,)*))
            }
        }
    )*};
}

arities! {
    [] [A] [A B] [A B C] [A B C D] [A B C D E] [A B C D E G] [A B C D E G H] [A B C D E G H I]
}

/// What one handler's future ends in, named once.
pub(crate) type Ended<H, Args> = <<H as Handler<Args>>::Returned as AsyncReturn>::Ends;

/// Calls a handler with what it asks for.
pub(crate) async fn run<H, Args, T, S>(handler: &H, payload: T, job: &Job, state: &S) -> super::Outcome
where
    H: Handler<Args>,
    H::Returned: AsyncReturn + Send,
    Ended<H, Args>: IntoOutcome,
    Args: Arguments<T, S>,
{
    let arguments = Args::gather(payload, job, state)?;
    handler.call(arguments).await.into_outcome()
}
