//! Accepts connections and serves each with hyper.

use core::convert::Infallible;
use core::future::Future;
use core::pin::pin;
use core::sync::atomic::AtomicUsize;
use core::time::Duration;
use std::io::Write;
use std::sync::Arc;

use agent_proto::limits::{HEAD_BYTES, HEADERS};
use agent_proto::problem::{ErrorKind, MEDIA_TYPE, Problem};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::UnixStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::answer::{Caller, answer};
use super::deadline::WriteDeadline;
use super::gate::{Admitted, Gate};
use super::{IpcContext, Listener, payload};

/// The first and the longest pause after accept(2) failed, for want of file descriptors as a rule.
const PAUSES: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// Serves until `shutdown` ends; then every connection is closed.
///
/// Nothing that a client does ends it, and an error of accept(2) only makes it pause.
pub async fn serve(
    mut listener: Listener,
    context: IpcContext,
    shutdown: impl Future<Output = ()>,
) {
    let mut server = Server::new(context);
    let mut shutdown = pin!(shutdown);
    let mut pause = None;
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            Some(ended) = server.connections.join_next() => server.leave(ended.ok()),
            accepted = accept(&mut listener, pause) => match accepted {
                Ok(stream) => {
                    pause = None;
                    server.welcome(stream);
                }
                Err(error) => {
                    let next = pause.map_or(PAUSES.0, |last: Duration| (last * 2).min(PAUSES.1));
                    tracing::debug!(%error, ?next, "cannot accept a connection, pausing");
                    pause = Some(next);
                }
            },
        }
    }
}

async fn accept(listener: &mut Listener, pause: Option<Duration>) -> std::io::Result<UnixStream> {
    if let Some(pause) = pause {
        sleep(pause).await;
    }
    listener.inner.accept().await.map(|(stream, _)| stream)
}

struct Server {
    context: Arc<IpcContext>,
    gate: Gate,
    connections: JoinSet<u64>,
    streams: Arc<AtomicUsize>,
    started: Instant,
}

impl Server {
    fn new(context: IpcContext) -> Self {
        Self {
            gate: Gate::new(context.limits),
            context: Arc::new(context),
            connections: JoinSet::new(),
            streams: Arc::default(),
            started: Instant::now(),
        }
    }

    fn leave(&mut self, id: Option<u64>) {
        if let Some(id) = id {
            self.gate.leave(id);
        }
    }

    fn welcome(&mut self, stream: UnixStream) {
        // Without an identity there are no rights at all.
        let Ok(uid) = (self.context.identify)(&stream) else { return };
        match self.gate.admit(uid, self.started.elapsed()) {
            Some(admitted) => {
                let caller = Caller {
                    context: Arc::clone(&self.context),
                    uid,
                    share: Arc::clone(&admitted.share),
                    waiting: Arc::clone(&admitted.waiting),
                    streams: Arc::clone(&self.streams),
                    started: self.started,
                };
                self.connections.spawn(connection(stream, caller, admitted));
            }
            None => turn_away(stream),
        }
    }
}

/// Says why, without waiting for anything: a full socket loses the answer.
fn turn_away(stream: UnixStream) {
    let problem = Problem::new(
        ErrorKind::Overloaded,
        "take the connection: too many requests are being answered",
    )
    .with_hint("try again in a few seconds");
    let body = payload::encode(&problem);
    let mut answer = format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: {MEDIA_TYPE}\r\ncontent-length: {}\r\n\
         connection: close\r\n\r\n",
        body.len()
    )
    .into_bytes();
    answer.extend(body);
    if let Ok(mut stream) = stream.into_std() {
        // It is non-blocking, and nobody is left to whom a failure could be told.
        let _ = stream.write(&answer);
    }
}

/// Serves one connection to its end, or until its seat is needed. Gives the seat's number.
async fn connection(stream: UnixStream, caller: Caller, admitted: Admitted) -> u64 {
    let deadline = caller.context.limits.io;
    let caller = Arc::new(caller);
    let service = service_fn(move |request| {
        let caller = Arc::clone(&caller);
        async move { Ok::<_, Infallible>(answer(caller, request).await) }
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(deadline)
        .max_buf_size(HEAD_BYTES)
        .max_headers(HEADERS)
        .serve_connection(TokioIo::new(WriteDeadline::new(stream, deadline)), service);
    tokio::select! {
        ended = serving => {
            if let Err(error) = ended {
                tracing::debug!(%error, "a connection ended early");
            }
        }
        _ = admitted.evicted => {}
    }
    admitted.id
}
