//! Answers one request.

use core::sync::atomic::AtomicUsize;
use std::sync::Arc;

use agent_core::input::{Actor, Command, Denial, Reply};
use agent_core::interruption;
use agent_proto::command::{
    DRILL_SCHEMA, DrillReply, DrillRequest, HOLD_SCHEMA, HoldReply, HoldRequest, POWER_SCHEMA,
    PowerReply, PowerRequest, RELEASE_SCHEMA, ReleaseReply, RenewRequest, SpotAction,
};
use agent_proto::limits;
use agent_proto::problem::{ErrorKind, Problem};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use hyper::{Request, Response};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::oneshot;
use tokio::time::{Duration, Instant, timeout};

use super::convert::{self, Depth};
use super::event_line::wall;
use super::gate::{Share, StreamPermit, Waiting};
use super::payload::{self, Payload};
use super::route::{self, Route};
use super::spot::{self, Reader};
use super::{CommandRequest, IpcContext, follow};
use crate::publish::metrics;

/// The description of this API (`OpenAPI` 3.1).
pub(super) const OPENAPI: &str = include_str!("openapi.json");

/// The longest hold that a request may name; the engine shortens it to what the caller may have.
const LONGEST: Duration = Duration::from_hours(24 * 366);

/// What the requests of one connection are answered with.
#[derive(Debug)]
pub(super) struct Caller {
    /// The server's context.
    pub(super) context: Arc<IpcContext>,
    /// The user at the other end.
    pub(super) uid: u32,
    /// What the user's connections share.
    pub(super) share: Arc<Share>,
    /// Whether the connection is expendable.
    pub(super) waiting: Arc<Waiting>,
    /// The event streams of everybody.
    pub(super) streams: Arc<AtomicUsize>,
    /// When the server was started.
    pub(super) started: Instant,
}

/// Makes the connection expendable again once the answer is sent or given up.
struct Answering(Arc<Caller>);

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.waiting.wait(self.0.started.elapsed());
    }
}

/// Answers one request. It cannot fail: what goes wrong is the answer.
pub(super) async fn answer(caller: Arc<Caller>, request: Request<Incoming>) -> Response<Payload> {
    caller.waiting.answer();
    let guard = Answering(Arc::clone(&caller));
    let response = match caller.respond(request).await {
        Ok(response) => response,
        Err(problem) => payload::problem(&problem),
    };
    response.map(|body| body.keeping(guard))
}

impl Caller {
    async fn respond(&self, request: Request<Incoming>) -> Result<Response<Payload>, Problem> {
        self.spend()?;
        let route = route::parse(request.method(), request.uri())?;
        match route {
            Route::Status => Ok(self.picture(Depth::Sources)),
            Route::Why => Ok(self.picture(Depth::Signals)),
            Route::Spot => Ok(self.spot()),
            Route::Events { after, follow } => self.events(after, follow),
            Route::Doctor => self.doctor().await,
            Route::OpenApi => Ok(payload::text("application/json", OPENAPI)),
            Route::Metrics => Ok(self.metrics()),
            Route::Health => Ok(payload::text("text/plain; charset=utf-8", "ok\n")),
            Route::Hold
            | Route::Renew(_)
            | Route::EndHold(_)
            | Route::Release
            | Route::Act(_)
            | Route::Drill => self.change(route, request.into_body()).await,
        }
    }

    /// Takes one request out of the user's budget.
    fn spend(&self) -> Result<(), Problem> {
        let limits = &self.context.limits;
        let factor = if self.uid == 0 { limits::ROOT_RATE_FACTOR } else { 1 };
        let (rate, burst) = (limits.requests_per_second * factor, limits.burst * factor);
        self.share.bucket.take(self.started.elapsed(), rate, burst).map_err(|wait| {
            let detail = format!("answer: more than {rate} requests a second of one user");
            Problem::new(ErrorKind::TooManyRequests, detail)
                .with_hint(format!("wait {} ms", wait.as_millis().max(1)))
        })
    }

    fn picture(&self, depth: Depth) -> Response<Payload> {
        let published = self.context.subscriber.picture();
        payload::json(&convert::status(&published, (self.context.clock)(), depth))
    }

    fn spot(&self) -> Response<Payload> {
        let published = self.context.subscriber.picture();
        payload::json(&spot::spot(&published, (self.context.clock)(), self.reader()))
    }

    /// Whether the caller may see what hooks printed.
    fn reader(&self) -> Reader {
        if self.context.accounts.actor(self.uid).admin { Reader::Admin } else { Reader::Anybody }
    }

    fn metrics(&self) -> Response<Payload> {
        let subscriber = &self.context.subscriber;
        let now = (self.context.clock)();
        let page = metrics::render(&subscriber.picture(), now, subscriber.latest_event());
        payload::text(metrics::MEDIA_TYPE, page)
    }

    fn events(&self, after: u64, follow: bool) -> Result<Response<Payload>, Problem> {
        let permit = StreamPermit::take(&self.streams, &self.share, self.uid).ok_or_else(|| {
            Problem::new(ErrorKind::Overloaded, "open an event stream: too many are open")
                .with_hint("end one, or read without follow=1 from time to time")
        })?;
        let subscriber = self.context.subscriber.clone();
        let heartbeat = self.context.limits.heartbeat;
        Ok(payload::stream(follow::pieces(
            subscriber,
            after,
            follow,
            heartbeat,
            permit,
            self.reader(),
        )))
    }

    async fn doctor(&self) -> Result<Response<Payload>, Problem> {
        let diagnosis = self.context.doctor.diagnose(self.context.limits.doctor).await;
        diagnosis.map(|diagnosis| payload::json(&diagnosis)).ok_or_else(|| {
            Problem::new(ErrorKind::Unavailable, "examine this machine: the checks take too long")
                .with_hint("try again; agentctl why shows what is known")
        })
    }

    /// Everything that goes to the engine.
    async fn change(&self, route: Route, body: Incoming) -> Result<Response<Payload>, Problem> {
        // Read in any case, so that the connection stays in step.
        let body = self.body(body).await?;
        let actor = self.context.accounts.actor(self.uid);
        let command = match route {
            Route::Hold => hold(&parse(&body)?)?,
            Route::Renew(hold) => {
                let request: RenewRequest = parse(&body)?;
                Command::Renew { hold, for_ms: milliseconds(request.for_seconds)? }
            }
            Route::EndHold(hold) => Command::Release { hold: Some(hold) },
            Route::Act(power) => {
                administrators_only(&actor, power.verb())?;
                let request: PowerRequest =
                    if body.is_empty() { PowerRequest::default() } else { parse(&body)? };
                Command::Act { power, dry_run: request.dry_run }
            }
            Route::Drill => {
                administrators_only(&actor, "begin a drill")?;
                drill(if body.is_empty() { DrillRequest::default() } else { parse(&body)? })?
            }
            _ => Command::Release { hold: None },
        };
        let (reply, answer) = oneshot::channel();
        self.context.commands.try_send(CommandRequest { actor, command, reply }).map_err(
            |error| match error {
                TrySendError::Full(_) => {
                    Problem::new(ErrorKind::Overloaded, "take the command: too many are waiting")
                }
                TrySendError::Closed(_) => stopping(),
            },
        )?;
        match timeout(self.context.limits.command, answer).await {
            Ok(Ok(reply)) => translate(reply),
            Ok(Err(_)) => Err(stopping()),
            Err(_) => Err(Problem::new(
                ErrorKind::Unavailable,
                "answer in time: the command may still be carried out",
            )
            .with_hint("agentctl status shows whether it was")),
        }
    }

    async fn body(&self, body: Incoming) -> Result<Bytes, Problem> {
        // A body that says that it is too large is refused before it comes.
        if body.size_hint().lower() > u64::try_from(limits::BODY_BYTES).unwrap_or(u64::MAX) {
            let detail =
                format!("read the request: its body is larger than {} bytes", limits::BODY_BYTES);
            return Err(Problem::new(ErrorKind::TooLarge, detail));
        }
        let collected = Limited::new(body, limits::BODY_BYTES).collect();
        match timeout(self.context.limits.io, collected).await {
            Ok(Ok(collected)) => Ok(collected.to_bytes()),
            Ok(Err(error)) if error.is::<LengthLimitError>() => {
                let detail =
                    format!("read the request: its body exceeds {} bytes", limits::BODY_BYTES);
                Err(Problem::new(ErrorKind::TooLarge, detail))
            }
            Ok(Err(error)) => {
                Err(Problem::new(ErrorKind::InvalidRequest, format!("read the request: {error}")))
            }
            Err(_) => Err(Problem::new(
                ErrorKind::TooSlow,
                "read the request: its body did not arrive in time",
            )),
        }
    }
}

/// Refuses everybody but root and the members of the group.
fn administrators_only(actor: &Actor, doing: &str) -> Result<(), Problem> {
    if actor.admin {
        return Ok(());
    }
    let detail = format!("{doing}: user {} is not an administrator of agentd", actor.name);
    Err(Problem::new(ErrorKind::NotPermitted, detail)
        .with_hint("use sudo, or have root add you to the group 'agentd'"))
}

fn drill(request: DrillRequest) -> Result<Command, Problem> {
    let seconds = request.in_seconds.unwrap_or(limits::DRILL_DEFAULT.as_secs_f64());
    let within = limits::DRILL_SHORTEST..=limits::DRILL_LONGEST;
    let span = Duration::try_from_secs_f64(seconds).ok().filter(|span| within.contains(span));
    let in_ms = span.and_then(|span| u64::try_from(span.as_millis()).ok()).ok_or_else(|| {
        let detail = "begin a drill: in_seconds must be at least 5 and at most 3600";
        Problem::new(ErrorKind::InvalidRequest, detail)
    })?;
    let action = match request.action {
        SpotAction::Terminate => interruption::SpotAction::Terminate,
        SpotAction::Stop => interruption::SpotAction::Stop,
        SpotAction::Hibernate => interruption::SpotAction::Hibernate,
    };
    Ok(Command::Drill { action, in_ms })
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    let invalid = |why: String| {
        Problem::new(ErrorKind::InvalidRequest, format!("read the request's JSON: {why}"))
            .with_hint("GET /v1/openapi.json describes every request")
    };
    // serde also takes an array for a struct, field by field, and `[]` must not mean "stop, and really".
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(invalid("it must be an object".to_owned()));
    }
    serde_json::from_slice(body).map_err(|error| invalid(error.to_string()))
}

fn hold(request: &HoldRequest) -> Result<Command, Problem> {
    let invalid = |detail: &str| Problem::new(ErrorKind::InvalidRequest, format!("hold: {detail}"));
    if request.reason.chars().count() > limits::REASON_CHARS {
        return Err(invalid("the reason is longer than 200 characters"));
    }
    // It is shown on terminals and in the journal, where a control character could pretend to be something else.
    if request.reason.chars().any(char::is_control) {
        return Err(invalid("the reason contains a control character"));
    }
    if request.pid.is_some_and(|pid| pid == 0 || i32::try_from(pid).is_err()) {
        return Err(invalid("the pid is not a process id"));
    }
    Ok(Command::Hold {
        for_ms: milliseconds(request.for_seconds)?,
        reason: request.reason.trim().to_owned(),
        pid: request.pid,
    })
}

fn milliseconds(seconds: f64) -> Result<u64, Problem> {
    let span = Duration::try_from_secs_f64(seconds).ok();
    let span = span.filter(|span| !span.is_zero() && *span <= LONGEST);
    let ms = span.and_then(|span| u64::try_from(span.as_millis()).ok()).filter(|ms| *ms > 0);
    ms.ok_or_else(|| {
        let detail = "hold: for_seconds must be more than 0 and at most 366 days";
        Problem::new(ErrorKind::InvalidRequest, detail)
    })
}

fn stopping() -> Problem {
    Problem::new(ErrorKind::Unavailable, "take the command: the agent is stopping")
        .with_hint("sudo systemctl start agentd")
}

/// The engine's answer in the words of the wire.
fn translate(reply: Reply) -> Result<Response<Payload>, Problem> {
    match reply {
        Reply::Held { hold, until_wall_ms, capped } => Ok(payload::json(&HoldReply {
            schema: HOLD_SCHEMA.to_owned(),
            id: hold,
            until: wall(until_wall_ms),
            capped,
        })),
        Reply::Released(released) => {
            Ok(payload::json(&ReleaseReply { schema: RELEASE_SCHEMA.to_owned(), released }))
        }
        Reply::Acting { power, dry_run } => Ok(payload::json(&PowerReply {
            schema: POWER_SCHEMA.to_owned(),
            power: convert::power(power),
            dry_run,
        })),
        Reply::Drilling { alert, hooks, deadline_wall_ms } => Ok(payload::json(&DrillReply {
            schema: DRILL_SCHEMA.to_owned(),
            alert,
            hooks,
            deadline: wall(deadline_wall_ms),
            result: None,
        })),
        Reply::Denied(denial) => Err(denied(denial)),
    }
}

fn denied(denial: Denial) -> Problem {
    match denial {
        Denial::NotPermitted(why) => Problem::new(ErrorKind::NotPermitted, why)
            .with_hint("use sudo, or have root add you to the group 'agentd'"),
        Denial::Policy(why) => Problem::new(ErrorKind::RefusedByPolicy, why)
            .with_hint("agentctl why shows everything that stands in the way"),
        Denial::Blind(why) => Problem::new(ErrorKind::Blind, why)
            .with_hint("agentctl doctor finds out what is missing"),
        Denial::Invalid(why) => Problem::new(ErrorKind::InvalidRequest, why),
    }
}
