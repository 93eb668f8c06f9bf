//! Where providers come from: processes of this machine, or what a test puts in
//! their place.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{FutureExt as _, LocalBoxFuture};
use nixops4_protocol::client::{self, ClientError, Provider, ProviderCommand, StderrSink};
use nixops4_protocol::describe::Description;
use nixops4_protocol::message::{Request, Response};

/// A provider that is asked one thing after another.
pub(crate) trait Link {
    /// Names the resource that it works for from now on.
    fn set_label(&self, label: &str);

    /// Sends a request and waits for its answer; an `errorResponse` is
    /// [`ClientError::Refused`], and after any other error it is of no more use.
    fn ask<'a>(
        &'a mut self,
        request: &'a Request,
        limit: Duration,
    ) -> LocalBoxFuture<'a, Result<Response, ClientError>>;

    /// Lets it end. It has answered; how it ends changes nothing any more.
    fn close(self: Box<Self>, patience: Duration) -> LocalBoxFuture<'static, ()>;
}

/// Starts providers.
pub(crate) trait Source {
    /// What a provider says of itself; `None` if it knows v0 alone.
    fn describe<'a>(
        &'a self,
        command: &'a ProviderCommand,
        limit: Duration,
    ) -> LocalBoxFuture<'a, Result<Option<Description>, ClientError>>;

    /// Starts one for the resource that is named; `apart` where Ctrl-C must not
    /// reach it.
    fn start(
        &self,
        command: &ProviderCommand,
        label: &str,
        apart: bool,
    ) -> Result<Box<dyn Link>, ClientError>;
}

/// This machine.
pub(crate) struct Machine {
    /// Takes what providers say on stderr.
    pub(crate) sink: StderrSink,
}

impl Source for Machine {
    fn describe<'a>(
        &'a self,
        command: &'a ProviderCommand,
        limit: Duration,
    ) -> LocalBoxFuture<'a, Result<Option<Description>, ClientError>> {
        client::describe(command, limit).boxed_local()
    }

    fn start(
        &self,
        command: &ProviderCommand,
        label: &str,
        apart: bool,
    ) -> Result<Box<dyn Link>, ClientError> {
        let sink = Arc::clone(&self.sink);
        let process = if apart {
            Provider::spawn_apart(command, label, sink)
        } else {
            Provider::spawn(command, label, sink)
        };
        Ok(Box::new(process?))
    }
}

impl Link for Provider {
    fn set_label(&self, label: &str) {
        Self::set_label(self, label);
    }

    fn ask<'a>(
        &'a mut self,
        request: &'a Request,
        limit: Duration,
    ) -> LocalBoxFuture<'a, Result<Response, ClientError>> {
        self.request(request, limit).boxed_local()
    }

    fn close(self: Box<Self>, patience: Duration) -> LocalBoxFuture<'static, ()> {
        async move {
            let _ = Self::close(*self, patience).await;
        }
        .boxed_local()
    }
}
