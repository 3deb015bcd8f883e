//! The EC2 query API with EC2's own rules for stopping, hibernating, tagging and looking.
//!
//! Requests are form bodies, replies XML, as in the EC2 API Reference (2016-11-15). A signature must be present and
//! is recorded, not verified. What real EC2 refuses is refused with its code and message: hibernation that was not
//! configured or is not ready, one-time spot requests, fleets, stop protection, wrong states, unknown ids, missing
//! permissions, exhausted request buckets. `DryRun` checks permission only, as the real one does.
//!
//! The same port serves what an instance asks of Auto Scaling and of SNS: the version of a call tells which it is for. Faults,
//! permissions, buckets and the log are common to the three.
//!
//! With [`Ec2::in_front_of`] the same rules, faults and log stand in front of another server of the API (such as
//! `moto_server`), which then carries out what passed; Auto Scaling and SNS stay here.

mod actions;
mod calls;
mod classes;
mod query;
mod refusal;
mod rules;
mod scaling;
mod service;
mod topic;
mod xml;

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

pub use calls::{Call, Log};
pub use query::Query;
pub use refusal::Refusal;

pub use crate::bucket::Bucket;
use crate::fault::{Fault, Script, Times};
use crate::instance::{Instance, SharedInstance};
use crate::locked;
use crate::server::{Answer, Server, Service};
use crate::wire::{self, Reply, Request};
use service::Kind;

/// How long the server behind may take for a reply.
const UPSTREAM_LIMIT: Duration = Duration::from_secs(30);

/// The request id of a reply that was not refused.
const NO_ID: &str = "00000000-0000-4000-8000-000000000000";

/// What stands before the action of a dry run in the patterns of faults.
const DRY: &str = "DryRun:";

/// One way in which a call goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallFault {
    /// The call is refused, whatever the rules say.
    Refuse(Refusal),
    /// The call is carried out, and its reply then goes wrong: a lost reply that was applied.
    Applied(Fault),
    /// The call is not carried out, and what goes out is wrong.
    Instead(Fault),
}

/// What can be changed while it runs.
#[derive(Debug)]
struct Inner {
    faults: Script<CallFault>,
    denied: BTreeSet<String>,
    buckets: HashMap<&'static str, Bucket>,
    late: Duration,
    log: Log,
    hidden: bool,
}

#[derive(Debug)]
struct Api {
    instance: SharedInstance,
    upstream: Option<SocketAddr>,
    inner: Mutex<Inner>,
}

/// A running EC2 API. It ends with this value.
#[derive(Debug)]
pub struct Ec2 {
    server: Server,
    api: Arc<Api>,
}

impl Ec2 {
    /// Serves an account with this one instance on `addr`.
    pub fn start(addr: SocketAddr, instance: Instance) -> io::Result<Self> {
        Self::of_shared(addr, SharedInstance::new(instance))
    }

    /// Serves an instance that others serve too.
    pub fn of_shared(addr: SocketAddr, instance: SharedInstance) -> io::Result<Self> {
        Self::serve(addr, instance, None)
    }

    /// Stands in front of another server of the EC2 API: rules and faults first, then the call is passed on.
    pub fn in_front_of(
        upstream: SocketAddr,
        addr: SocketAddr,
        instance: SharedInstance,
    ) -> io::Result<Self> {
        Self::serve(addr, instance, Some(upstream))
    }

    fn serve(
        addr: SocketAddr,
        instance: SharedInstance,
        upstream: Option<SocketAddr>,
    ) -> io::Result<Self> {
        let inner = Inner {
            faults: Script::default(),
            denied: BTreeSet::new(),
            buckets: classes::published(Instant::now()),
            late: Duration::ZERO,
            log: Log::default(),
            hidden: false,
        };
        let api = Arc::new(Api { instance, upstream, inner: Mutex::new(inner) });
        let server = Server::start(addr, Arc::clone(&api) as Arc<dyn Service>)?;
        Ok(Self { server, api })
    }

    /// The address that it listens on.
    pub fn addr(&self) -> SocketAddr {
        self.server.addr()
    }

    /// The value of `AWS_ENDPOINT_URL_EC2` that leads here.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.addr())
    }

    /// The instance that is served.
    pub fn instance(&self) -> &SharedInstance {
        &self.api.instance
    }

    /// Every call so far.
    pub fn log(&self) -> Log {
        locked(&self.api.inner).log.clone()
    }

    /// From now on calls whose action matches `pattern` (a trailing `*` matches what begins so) go wrong. Dry runs
    /// are called `DryRun:` and their action.
    pub fn fault(&self, pattern: &str, fault: CallFault, times: Times) {
        locked(&self.api.inner).faults.add(pattern, fault, times);
    }

    /// From now on calls whose action matches `pattern` are refused with a code of the API and its usual message.
    pub fn refuse_with(&self, pattern: &str, code: &str, times: Times) {
        self.fault(pattern, CallFault::Refuse(Refusal::usual(code)), times);
    }

    /// Ends every fault and opens the port again if it was closed.
    pub fn heal(&mut self) -> io::Result<()> {
        let mut inner = locked(&self.api.inner);
        inner.faults.clear();
        inner.denied.clear();
        inner.late = Duration::ZERO;
        inner.hidden = false;
        drop(inner);
        self.server.listen()
    }

    /// Closes the port: connections are refused until [`heal`](Self::heal).
    pub fn refuse_connections(&mut self) {
        self.server.refuse();
    }

    /// Ends the faults of a pattern.
    pub fn end_fault(&self, pattern: &str) {
        locked(&self.api.inner).faults.remove(pattern);
    }

    /// Takes a permission away: the action answers `UnauthorizedOperation`, or what its service says, dry run or not.
    pub fn deny(&self, action: &str) {
        locked(&self.api.inner).denied.insert(action.to_owned());
    }

    /// Gives a permission back.
    pub fn allow(&self, action: &str) {
        locked(&self.api.inner).denied.remove(action);
    }

    /// Answers every call so much later.
    pub fn delay(&self, late: Duration) {
        locked(&self.api.inner).late = late;
    }

    /// The instance is, or is no longer, unknown to the account (`InvalidInstanceID.NotFound`).
    pub fn hide_instance(&self, hidden: bool) {
        locked(&self.api.inner).hidden = hidden;
    }

    /// Replaces the request bucket of an action's class: so many calls at once, so many more each second.
    pub fn limit(&self, action: &str, burst: f64, per_second: f64) {
        let bucket = Bucket::new(burst, per_second, Instant::now());
        locked(&self.api.inner).buckets.insert(classes::class(action), bucket);
    }
}

impl Service for Api {
    fn answer(&self, request: &Request) -> Answer {
        let query = Query::parse(&request.body, request.query());
        let action = query.get("Action").unwrap_or_default().to_owned();
        let signature = request.header("authorization").map(str::to_owned);
        let (late, fault) = {
            let mut inner = locked(&self.inner);
            let dry = rules::is_dry_run(&query);
            let subject = if dry { format!("{DRY}{action}") } else { action.clone() };
            (inner.late, inner.faults.strike(&subject))
        };
        std::thread::sleep(late);
        let started = Instant::now();
        let (result, fault) = match fault {
            None => (self.decide(request, &query), None),
            Some(CallFault::Refuse(refusal)) => (Err(refusal), None),
            Some(CallFault::Applied(fault)) => (self.decide(request, &query), Some(fault)),
            Some(CallFault::Instead(fault)) => (Err(Refusal::usual("InternalError")), Some(fault)),
        };
        let service = Kind::of(&query);
        let result = result.map_err(|refusal| service.own(refusal));
        let refused = result.as_ref().err().map(|refusal| refusal.code.clone());
        let call = Call::new(started, action, &query, signature, refused, fault.clone());
        let reply = match result {
            Ok(reply) => reply,
            Err(refusal) => service.refusal(&refusal, &call.id),
        };
        locked(&self.inner).log.push(call);
        Answer { reply, fault }
    }
}

impl Api {
    /// Judges a call by the rules, and carries it out here or in the server behind.
    fn decide(&self, request: &Request, query: &Query) -> Result<Reply, Refusal> {
        let action = query.get("Action").unwrap_or_default();
        let now = Instant::now();
        let service = Kind::of(query);
        {
            let mut inner = locked(&self.inner);
            rules::signed(request)?;
            inner.admit(action, now)?;
            rules::permitted(&inner.denied, service, action)?;
            if inner.hidden {
                let unknown = rules::named_instances(query).first().map(|id| Refusal::unknown(id));
                unknown.map_or(Ok(()), Err)?;
            }
        }
        // Like the real one, a dry run is answered after the check of permissions alone.
        if rules::is_dry_run(query) {
            return Err(Refusal::usual("DryRunOperation"));
        }
        let own = self.instance.with(|instance| {
            instance.settle(now);
            let named = |children: Vec<_>| service.result(action, &children, NO_ID);
            match service {
                Kind::Ec2 => actions::carry_out(action, query, instance, now),
                Kind::AutoScaling => scaling::carry_out(action, query, instance, now).map(named),
                Kind::Sns => topic::carry_out(action, query, instance).map(named),
            }
        })?;
        match self.upstream.filter(|_| service == Kind::Ec2) {
            None => Ok(own),
            Some(upstream) => pass_on(upstream, request),
        }
    }
}

impl Inner {
    fn admit(&mut self, action: &str, now: Instant) -> Result<(), Refusal> {
        let bucket = self.buckets.get_mut(classes::class(action));
        let admitted = bucket.is_none_or(|bucket| bucket.take(now));
        admitted.then_some(()).ok_or_else(|| Refusal::usual("RequestLimitExceeded"))
    }
}

/// Sends the request on as it came, but for what belongs to the connection.
fn pass_on(upstream: SocketAddr, request: &Request) -> Result<Reply, Refusal> {
    const OF_THE_CONNECTION: [&str; 5] =
        ["host", "connection", "content-length", "transfer-encoding", "expect"];
    let mut onward = request.clone();
    onward
        .headers
        .retain(|(name, _)| !OF_THE_CONNECTION.contains(&name.to_ascii_lowercase().as_str()));
    let mut reply = wire::call(upstream, &onward, UPSTREAM_LIMIT)
        .map_err(|why| Refusal::new("InternalError", 500, format!("the server behind: {why}")))?;
    let of_connection =
        |name: &str| OF_THE_CONNECTION.contains(&name.to_ascii_lowercase().as_str());
    reply.headers.retain(|(name, _)| !of_connection(name));
    reply.close = false;
    reply.minor = 1;
    Ok(reply)
}

#[cfg(test)]
mod tests;
