//! The body of an answer, and the answers that are always made the same way.

use core::convert::Infallible;
use core::fmt;
use core::pin::Pin;
use core::task::{Context, Poll};

use agent_proto::problem::{MEDIA_TYPE, Problem};
use bytes::Bytes;
use futures_util::Stream;
use hyper::body::{Body, Frame, SizeHint};
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};
use serde::Serialize;

/// What arrives piece by piece.
pub(crate) type Pieces = Pin<Box<dyn Stream<Item = Bytes> + Send>>;

/// A body, and what must live as long as it.
pub(crate) struct Payload {
    content: Content,
    guard: Option<Box<dyn Send>>,
}

enum Content {
    Whole(Option<Bytes>),
    Pieces(Pieces),
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Payload").finish_non_exhaustive()
    }
}

impl Payload {
    fn new(content: Content) -> Self {
        Self { content, guard: None }
    }

    /// The same body, which keeps `guard` until it is sent or given up.
    pub(crate) fn keeping(mut self, guard: impl Send + 'static) -> Self {
        self.guard = Some(Box::new(guard));
        self
    }
}

impl Body for Payload {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &mut self.content {
            Content::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Content::Pieces(pieces) => pieces
                .as_mut()
                .poll_next(context)
                .map(|piece| piece.map(|bytes| Ok(Frame::data(bytes)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(&self.content, Content::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Whole(bytes) => {
                let length = bytes.as_ref().map_or(0, Bytes::len);
                SizeHint::with_exact(u64::try_from(length).unwrap_or(u64::MAX))
            }
            Content::Pieces(_) => SizeHint::default(),
        }
    }
}

/// An answer of a media type.
pub(crate) fn text(media_type: &'static str, body: impl Into<Bytes>) -> Response<Payload> {
    let content = Content::Whole(Some(body.into()));
    respond(StatusCode::OK, media_type, content)
}

/// A document as JSON, with a newline behind it for people with `curl`.
pub(crate) fn json(document: &impl Serialize) -> Response<Payload> {
    text("application/json", encode(document))
}

/// An event stream (newline-delimited JSON).
pub(crate) fn stream(pieces: Pieces) -> Response<Payload> {
    respond(StatusCode::OK, "application/x-ndjson", Content::Pieces(pieces))
}

/// A problem.
pub(crate) fn problem(problem: &Problem) -> Response<Payload> {
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    respond(status, MEDIA_TYPE, Content::Whole(Some(encode(problem).into())))
}

/// A document and a newline.
pub(crate) fn encode(document: &impl Serialize) -> Vec<u8> {
    // The documents are structs with text keys and finite or null numbers: nothing in them can fail to encode.
    let mut bytes = serde_json::to_vec(document).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}

fn respond(status: StatusCode, media_type: &'static str, content: Content) -> Response<Payload> {
    let mut response = Response::new(Payload::new(content));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
