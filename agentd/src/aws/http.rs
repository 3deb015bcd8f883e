//! The transport of the AWS calls: the SDK's connector, made from the same HTTP and TLS stack that everything else uses;
//! and of the one thing that is sent elsewhere, a document for a webhook.
//!
//! It adds no retry and no redirect, and it keeps apart what matters most after a failed `StopInstances`: whether the
//! request can have reached EC2 ([`TransportError`]).

use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use thiserror::Error;

use super::errors::chain;

/// The largest answer of EC2 that is read, bytes. The description of one instance is a few kilobytes.
const LARGEST_ANSWER: usize = 4 * 1024 * 1024;
/// Who posts documents.
const USER_AGENT: &str = concat!("agentd/", env!("CARGO_PKG_VERSION"));

/// Makes ring the TLS provider of this process. Without it every HTTP client would panic, so whoever makes one calls this
/// first; calling it again does nothing.
pub fn install_crypto() {
    // An error means that a provider is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// Why an HTTP exchange failed.
#[derive(Debug, Error)]
pub enum TransportError {
    /// The request was never sent: no address, no connection, no TLS, or a request that cannot be written.
    #[error("send the request: {0}")]
    NotSent(String),
    /// The gate was shut at the last moment: nothing of the request left the machine.
    #[error("{0}")]
    Withheld(String),
    /// The connection stood and no complete answer came: the request may have been carried out.
    #[error("receive the answer: {0}")]
    Lost(String),
}

/// Asked once, when the connection stands and the next thing would be the first byte of the request: whether it may go.
/// An error says why not.
pub type Gate = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

tokio::task_local! {
    static GATE: Gate;
}

/// Makes a call whose requests pass `gate`. The connection is made, the request is signed, and only then is it asked, so
/// that as little as possible happens between its answer and the wire.
pub async fn gated<F: Future>(gate: Gate, call: F) -> F::Output {
    GATE.scope(gate, call).await
}

/// A body that asks before it is sent. HTTP/1.1 writes it and the head of its request together; when the body fails, the
/// connection is closed before either was flushed.
struct GatedBody {
    bytes: Option<Bytes>,
    gate: Gate,
    shut: Arc<Mutex<Option<String>>>,
}

impl Body for GatedBody {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        let Some(bytes) = self.bytes.take() else { return Poll::Ready(None) };
        Poll::Ready(Some(match (self.gate)() {
            Ok(()) => Ok(Frame::data(bytes)),
            Err(why) => {
                *self.shut.lock().unwrap_or_else(PoisonError::into_inner) = Some(why.clone());
                Err(std::io::Error::other(why))
            }
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
    }
}

/// How the connector behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransportSettings {
    /// A PEM file whose certificates replace the system's roots (`AWS_CA_BUNDLE`).
    pub ca_bundle: Option<PathBuf>,
    /// For the TCP and TLS connection.
    pub connect: Duration,
    /// For one request with its whole answer.
    pub request: Duration,
}

impl Default for TransportSettings {
    fn default() -> Self {
        Self { ca_bundle: None, connect: Duration::from_secs(3), request: Duration::from_secs(10) }
    }
}

/// The SDK's HTTP client over reqwest. The system's root certificates are loaded at the first call and not before: an
/// agent that never calls EC2 does not pay for them. `HTTPS_PROXY` and `NO_PROXY` are honoured, as in the SDK.
#[derive(Clone, Debug)]
pub struct Transport(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    settings: TransportSettings,
    client: OnceLock<reqwest::Client>,
}

impl Transport {
    /// A transport that has not loaded anything yet.
    pub fn new(settings: TransportSettings) -> Self {
        Self(Arc::new(Inner { settings, client: OnceLock::new() }))
    }

    /// Loads the root certificates, beside the loop: reading them takes long enough to delay whatever else is due.
    pub async fn prepare(&self) -> Result<(), TransportError> {
        let inner = Arc::clone(&self.0);
        let made = tokio::task::spawn_blocking(move || inner.client().map(drop)).await;
        made.map_err(|error| TransportError::NotSent(error.to_string()))?
    }

    /// Posts a JSON document once and gives the status of the answer: no redirect is followed, nothing is tried again, and
    /// the answer's body is not read. The address may hold secrets, so no error contains it.
    pub async fn post_json(&self, url: &str, document: String) -> Result<u16, TransportError> {
        self.prepare().await?;
        let not_sent = |error: reqwest::Error| TransportError::NotSent(chain(&error.without_url()));
        let request = self
            .0
            .client()?
            .post(url)
            .header("content-type", "application/json")
            .header("user-agent", USER_AGENT)
            .body(document)
            .build()
            .map_err(not_sent)?;
        let executed = self.0.client()?.execute(request).await;
        executed
            .map(|response| response.status().as_u16())
            .map_err(|error| classify(&error.without_url()))
    }
}

impl Inner {
    /// The client, made now when this is the first call.
    fn client(&self) -> Result<reqwest::Client, TransportError> {
        if let Some(client) = self.client.get() {
            return Ok(client.clone());
        }
        let client = build(&self.settings).map_err(TransportError::NotSent)?;
        Ok(self.client.get_or_init(|| client).clone())
    }

    async fn exchange(
        &self,
        request: HttpRequest,
        gate: Option<Gate>,
    ) -> Result<HttpResponse, TransportError> {
        let (mut request, bytes) = translate(request).map_err(TransportError::NotSent)?;
        let shut = Arc::new(Mutex::new(None));
        *request.body_mut() = Some(match gate {
            Some(gate) => {
                reqwest::Body::wrap(GatedBody { bytes: Some(bytes), gate, shut: Arc::clone(&shut) })
            }
            None => bytes.into(),
        });
        let executed = self.client()?.execute(request).await;
        if let Some(why) = shut.lock().unwrap_or_else(PoisonError::into_inner).take() {
            return Err(TransportError::Withheld(why));
        }
        let mut response = executed.map_err(|error| classify(&error))?;
        let status = response.status();
        let headers = response.headers().clone();
        let mut body = Vec::new();
        while let Some(piece) =
            response.chunk().await.map_err(|error| TransportError::Lost(chain(&error)))?
        {
            if body.len() + piece.len() > LARGEST_ANSWER {
                return Err(TransportError::Lost(format!(
                    "it is larger than {LARGEST_ANSWER} bytes"
                )));
            }
            body.extend_from_slice(&piece);
        }
        let mut answer = HttpResponse::new(status.into(), SdkBody::from(body));
        for (name, value) in &headers {
            let value = value
                .to_str()
                .map_err(|_| TransportError::Lost(format!("its header {name} is not text")))?;
            answer.headers_mut().append(name.as_str().to_owned(), value.to_owned());
        }
        Ok(answer)
    }
}

fn build(settings: &TransportSettings) -> Result<reqwest::Client, String> {
    install_crypto();
    let mut builder = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .http1_only()
        // Calls are minutes or hours apart; a kept connection would be dead by then.
        .pool_max_idle_per_host(1)
        .pool_idle_timeout(Duration::from_secs(5))
        .connect_timeout(settings.connect)
        .timeout(settings.request);
    if let Some(path) = &settings.ca_bundle {
        builder = builder.tls_certs_only(read_bundle(path)?);
    }
    builder.build().map_err(|error| chain(&error))
}

fn read_bundle(path: &Path) -> Result<Vec<reqwest::Certificate>, String> {
    let shown = path.display();
    let pem =
        std::fs::read(path).map_err(|error| format!("read AWS_CA_BUNDLE {shown}: {error}"))?;
    let certificates = reqwest::Certificate::from_pem_bundle(&pem)
        .map_err(|error| format!("read AWS_CA_BUNDLE {shown}: {}", chain(&error)))?;
    if certificates.is_empty() {
        return Err(format!("read AWS_CA_BUNDLE {shown}: it has no certificate"));
    }
    Ok(certificates)
}

/// The SDK's request as reqwest's. EC2 requests are small forms in memory; a streaming body does not occur.
fn translate(request: HttpRequest) -> Result<(reqwest::Request, Bytes), String> {
    let request = request.try_into_http1x().map_err(|error| chain(&error))?;
    let (parts, body) = request.into_parts();
    let bytes = body.bytes().ok_or("the request has a streaming body")?;
    let bytes = Bytes::copy_from_slice(bytes);
    let method = parts.method;
    let url = reqwest::Url::parse(&parts.uri.to_string()).map_err(|error| error.to_string())?;
    let mut translated = reqwest::Request::new(method, url);
    *translated.headers_mut() = parts.headers;
    Ok((translated, bytes))
}

/// An error before the connection stood cannot have changed anything; every other one can.
fn classify(error: &reqwest::Error) -> TransportError {
    if error.is_connect() || error.is_builder() {
        TransportError::NotSent(chain(error))
    } else {
        TransportError::Lost(chain(error))
    }
}

/// The error in the SDK's own terms. A timeout is told as an I/O error with the [`TransportError`] inside, because
/// the SDK's timeout kind would hide whether the request was sent.
fn connector_error(error: TransportError) -> ConnectorError {
    match &error {
        TransportError::NotSent(_) | TransportError::Withheld(_) => {
            ConnectorError::io(Box::new(error)).never_connected()
        }
        TransportError::Lost(_) => ConnectorError::io(Box::new(error)),
    }
}

impl HttpConnector for Transport {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let inner = self.0.clone();
        let gate = GATE.try_with(Clone::clone).ok();
        HttpConnectorFuture::new(async move {
            inner.exchange(request, gate).await.map_err(connector_error)
        })
    }
}

impl HttpClient for Transport {
    fn http_connector(
        &self,
        _: &HttpConnectorSettings,
        _: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use core::error::Error;

    use super::*;
    use crate::aws::testserver::{Reply, Server, refusing_url};

    fn quick() -> TransportSettings {
        let connect = Duration::from_millis(150);
        TransportSettings {
            connect,
            request: Duration::from_millis(600),
            ..TransportSettings::default()
        }
    }

    async fn call(settings: TransportSettings, url: &str) -> Result<HttpResponse, ConnectorError> {
        let mut request = HttpRequest::new(SdkBody::from("Action=DescribeInstances"));
        request.set_uri(url).unwrap();
        request.set_method("POST").unwrap();
        request.headers_mut().insert("x-test", "1");
        Transport::new(settings).call(request).await
    }

    async fn failure(reply: Reply) -> TransportError {
        let server = Server::start(move |_| reply.clone()).await;
        cause(call(quick(), &server.url()).await.unwrap_err())
    }

    fn cause(error: ConnectorError) -> TransportError {
        assert!(error.is_io());
        *error.into_source().downcast().unwrap()
    }

    #[tokio::test]
    async fn carries_method_headers_and_body_both_ways() {
        let server =
            Server::start(|_| Reply::status(418, "<Response/>").with("x-answer", "2")).await;
        let response = call(quick(), &server.url()).await.unwrap();
        assert_eq!(response.status().as_u16(), 418);
        assert_eq!(response.headers().get("x-answer"), Some("2"));
        assert_eq!(response.body().bytes(), Some(&b"<Response/>"[..]));
        let seen = server.seen().remove(0);
        assert_eq!(
            (seen.method.as_str(), seen.body.as_str()),
            ("POST", "Action=DescribeInstances")
        );
        assert_eq!(seen.header("x-test"), ["1"]);
    }

    #[tokio::test]
    async fn a_refused_connection_was_not_sent() {
        let error = call(quick(), &refusing_url().await).await.unwrap_err();
        assert!(matches!(cause(error), TransportError::NotSent(_)));
    }

    #[tokio::test]
    async fn silence_after_the_request_is_in_doubt() {
        assert!(matches!(failure(Reply::Hang).await, TransportError::Lost(_)));
    }

    #[tokio::test]
    async fn a_connection_that_ends_after_the_request_is_in_doubt() {
        assert!(matches!(failure(Reply::Drop).await, TransportError::Lost(_)));
        let cut = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n<Stop".to_vec();
        assert!(matches!(failure(Reply::Raw(cut)).await, TransportError::Lost(_)));
        assert!(matches!(
            failure(Reply::Raw(b"\0\x01\x02\r\n\r\n".to_vec())).await,
            TransportError::Lost(_)
        ));
    }

    #[tokio::test]
    async fn an_endless_answer_is_cut() {
        let error = failure(Reply::Endless).await;
        assert!(matches!(&error, TransportError::Lost(_)), "{error}");
    }

    #[tokio::test]
    async fn redirects_are_not_followed() {
        let elsewhere = Server::start(|_| Reply::ok("")).await;
        let location = elsewhere.url();
        let server =
            Server::start(move |_| Reply::status(307, "").with("Location", location.clone())).await;
        assert_eq!(call(quick(), &server.url()).await.unwrap().status().as_u16(), 307);
        assert!(elsewhere.seen().is_empty());
    }

    #[tokio::test]
    async fn plain_http_behind_an_https_address_was_not_sent() {
        let server = Server::start(|_| Reply::ok("")).await;
        let url = server.url().replace("http:", "https:");
        let error = cause(call(quick(), &url).await.unwrap_err());
        assert!(matches!(error, TransportError::NotSent(_)), "{error}");
    }

    #[tokio::test]
    async fn a_bad_ca_bundle_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bundle.pem");
        for content in [None, Some("no certificate here")] {
            if let Some(content) = content {
                std::fs::write(&path, content).unwrap();
            }
            let settings = TransportSettings { ca_bundle: Some(path.clone()), ..quick() };
            let error = cause(call(settings, "https://127.0.0.1:1/").await.unwrap_err());
            assert!(error.to_string().contains("bundle.pem"), "{error}");
            assert!(matches!(error, TransportError::NotSent(_)));
        }
    }

    async fn post(url: &str) -> Result<u16, TransportError> {
        Transport::new(quick()).post_json(url, "{\"a\":1}".to_owned()).await
    }

    #[tokio::test]
    async fn a_document_is_posted_once_with_its_type_and_the_agents_name() {
        let server = Server::start(|_| Reply::status(202, "thanks\n")).await;
        let answer = post(&format!("{}/hook?key=s3cret", server.url())).await.unwrap();
        assert_eq!(answer, 202);
        let seen = server.seen();
        assert_eq!(seen.len(), 1);
        assert_eq!((seen[0].method.as_str(), seen[0].path.as_str()), ("POST", "/hook?key=s3cret"));
        assert_eq!(seen[0].header("content-type"), ["application/json"]);
        assert_eq!(seen[0].header("user-agent"), [concat!("agentd/", env!("CARGO_PKG_VERSION"))]);
        assert_eq!(seen[0].body, "{\"a\":1}");
    }

    #[tokio::test]
    async fn the_body_of_an_answer_to_a_document_is_not_waited_for() {
        let server = Server::start(|_| Reply::Endless).await;
        assert_eq!(post(&server.url()).await.unwrap(), 200);
    }

    #[tokio::test]
    async fn no_error_of_a_webhook_contains_its_address() {
        let silent = Server::start(|_| Reply::Hang).await;
        let closing = Server::start(|_| Reply::Drop).await;
        let tls = silent.url().replace("http:", "https:");
        for url in [silent.url(), closing.url(), refusing_url().await, tls, "x://y".to_owned()] {
            let error = post(&format!("{url}/s3cret?key=s3cret")).await.unwrap_err().to_string();
            assert!(!error.contains("s3cret") && !error.contains("key"), "{error}");
        }
        assert_eq!((silent.count("POST", "s3cret"), closing.count("POST", "s3cret")), (1, 1));
    }

    #[test]
    fn nothing_is_loaded_before_the_first_call() {
        let transport = Transport::new(TransportSettings::default());
        assert!(transport.0.client.get().is_none());
    }

    #[test]
    fn the_sdk_can_tell_that_nothing_was_sent() {
        let error = connector_error(TransportError::NotSent("no route".to_owned()));
        assert!(error.is_io() && error.source().is_some());
    }
}
