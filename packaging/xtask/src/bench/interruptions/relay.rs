//! What lies between an agent and its metadata service: it can be slow, bad or dead, and it writes down who asked when.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use agent_tests::fault::Fault;
use agent_tests::server::{Answer, Server, Service};
use agent_tests::wire::{Reply, Request, call};

use super::moment::{Dice, Moment};

/// How long the service behind may take.
const BEHIND: Duration = Duration::from_secs(5);

/// Of the last two bytes of the next relay's address. All of 127.0.0.0/8 is this machine (RFC 1122, 3.2.1.3).
static NEXT: AtomicU16 = AtomicU16::new(1);

/// How the service is dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Death {
    /// Connections are refused.
    Refused,
    /// Requests are taken and never answered.
    Hung,
    /// Every answer is 503.
    Unavailable,
}

/// One request that went through.
#[derive(Clone, Debug)]
pub(super) struct Passed {
    /// `GET`, `PUT`.
    pub(super) method: String,
    /// The path.
    pub(super) path: String,
    /// The status of the answer; 0: a fault struck instead.
    pub(super) status: u16,
    /// When the answer was there, before it went out.
    pub(super) at: Moment,
}

#[derive(Debug)]
struct State {
    dice: Dice,
    faults_percent: u64,
    late: Duration,
    death: Option<Death>,
    open: BTreeMap<String, usize>,
    most_open: BTreeMap<String, usize>,
    passed: Vec<Passed>,
}

#[derive(Debug)]
struct Line {
    behind: SocketAddr,
    state: Mutex<State>,
}

/// The relay. It ends with this value.
#[derive(Debug)]
pub(super) struct Relay {
    server: Server,
    line: Arc<Line>,
}

impl Line {
    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The answer, and the fault that strikes in its place.
    fn pass(&self, request: &Request, late: Duration, fault: Option<Fault>) -> Answer {
        std::thread::sleep(late);
        if let Some(fault) = fault {
            return Answer { reply: Reply::text(503, "Service Unavailable"), fault: Some(fault) };
        }
        match call(self.behind, request, BEHIND) {
            Ok(reply) => reply.into(),
            Err(_) => Answer { reply: Reply::text(502, "Bad Gateway"), fault: None },
        }
    }
}

impl State {
    /// What strikes the next request.
    fn strike(&mut self) -> Option<Fault> {
        match self.death {
            Some(Death::Hung) => Some(Fault::Hang),
            Some(Death::Unavailable) => Some(Fault::Status(503)),
            Some(Death::Refused) => Some(Fault::Reset),
            None if self.dice.below(100) < self.faults_percent => {
                Some(if self.dice.below(2) == 0 { Fault::Status(503) } else { Fault::Reset })
            }
            None => None,
        }
    }
}

impl Service for Line {
    fn answer(&self, request: &Request) -> Answer {
        let path = request.path().to_owned();
        let (fault, late) = self.with(|state| {
            let open = state.open.entry(path.clone()).or_default();
            *open += 1;
            let most = state.most_open.entry(path.clone()).or_default();
            *most = (*most).max(*open);
            (state.strike(), state.late)
        });
        let answer = self.pass(request, late, fault);
        self.with(|state| {
            if let Some(open) = state.open.get_mut(&path) {
                *open -= 1;
            }
            let status = if answer.fault.is_some() { 0 } else { answer.reply.status };
            let method = request.method.clone();
            state.passed.push(Passed { method, path, status, at: Moment::now() });
        });
        answer
    }
}

impl Relay {
    /// In front of `behind`; so many of a hundred requests are struck, drawn from `seed`.
    pub(super) fn start(behind: SocketAddr, faults_percent: u64, seed: u64) -> io::Result<Self> {
        let state = State {
            dice: Dice(seed),
            faults_percent,
            late: Duration::ZERO,
            death: None,
            open: BTreeMap::new(),
            most_open: BTreeMap::new(),
            passed: Vec::new(),
        };
        let line = Arc::new(Line { behind, state: Mutex::new(state) });
        // An address of its own: a port that is closed for a while is not given to another program, whose metadata service an
        // agent would find there.
        let [high, low] = NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        let own = SocketAddr::from(([127, 1, high, low], 0));
        let server = Server::start(own, Arc::clone(&line) as Arc<dyn Service>)?;
        Ok(Self { server, line })
    }

    /// The value of `AWS_EC2_METADATA_SERVICE_ENDPOINT` that leads here.
    pub(super) fn endpoint(&self) -> String {
        format!("http://{}", self.server.addr())
    }

    /// Every answer is so late from now on, from when what is open at once is counted anew.
    pub(super) fn delay(&self, late: Duration) {
        self.line.with(|state| {
            state.late = late;
            state.most_open.clear();
        });
    }

    /// The service is dead from now on.
    pub(super) fn die(&mut self, death: Death) {
        self.line.with(|state| state.death = Some(death));
        if death == Death::Refused {
            self.server.refuse();
        }
    }

    /// The service answers again.
    pub(super) fn revive(&mut self) -> io::Result<()> {
        self.line.with(|state| state.death = None);
        self.server.listen()
    }

    /// What went through so far.
    pub(super) fn passed(&self) -> Vec<Passed> {
        self.line.with(|state| state.passed.clone())
    }

    /// When the first answer of this status was there for a path that ends so, at or after a moment.
    pub(super) fn first(&self, ending: &str, status: u16, from: Moment) -> Option<Moment> {
        self.line.with(|state| {
            let fits = |seen: &&Passed| {
                seen.at >= from && seen.status == status && seen.path.ends_with(ending)
            };
            state.passed.iter().find(fits).map(|seen| seen.at)
        })
    }

    /// The most requests that were open at once for one path, with the path.
    pub(super) fn most_open(&self) -> (usize, String) {
        self.line.with(|state| {
            let most = state.most_open.iter().max_by_key(|(_, most)| **most);
            most.map_or((0, String::new()), |(path, most)| (*most, path.clone()))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use agent_tests::imds::Imds;
    use agent_tests::instance::Instance;

    const LIMIT: Duration = Duration::from_secs(5);

    fn line(faults_percent: u64) -> (Imds, Relay) {
        let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let imds = Imds::start(anywhere, Instance::default()).unwrap();
        let relay = Relay::start(imds.addr(), faults_percent, 1).unwrap();
        (imds, relay)
    }

    fn token() -> Request {
        Request::new("PUT", "/latest/api/token")
            .with_header("X-aws-ec2-metadata-token-ttl-seconds", "60")
    }

    #[test]
    fn it_passes_on_what_is_asked_and_answered() {
        let (imds, relay) = line(0);
        let given = call(relay.server.addr(), &token(), LIMIT).unwrap();
        let get = Request::new("GET", "/latest/meta-data/spot/instance-action")
            .with_header("X-aws-ec2-metadata-token", &given.body_text());
        assert_eq!(call(relay.server.addr(), &get, LIMIT).unwrap().status, 404);
        let first = relay.first("spot/instance-action", 404, Moment(0));
        assert!(first.is_some_and(|at| at <= Moment::now()));
        assert!(relay.first("spot/instance-action", 404, Moment::now()).is_none());
        assert_eq!((relay.passed().len(), relay.most_open().0), (2, 1));
        assert_eq!(imds.seen().tokenless, 0);
    }

    #[test]
    fn about_as_many_requests_are_struck_as_it_says() {
        let (_imds, relay) = line(30);
        for _ in 0..200 {
            let _reply_or_reset = call(relay.server.addr(), &token(), LIMIT);
        }
        let struck = relay.passed().iter().filter(|seen| seen.status == 0).count();
        assert!((40..=80).contains(&struck), "{struck} of 200");
    }

    #[test]
    fn it_dies_in_each_way_and_comes_back() {
        let (_imds, mut relay) = line(0);
        let brief = Duration::from_millis(100);
        for death in [Death::Refused, Death::Hung] {
            relay.die(death);
            assert!(call(relay.server.addr(), &token(), brief).is_err(), "{death:?}");
            relay.revive().unwrap();
            assert_eq!(call(relay.server.addr(), &token(), LIMIT).unwrap().status, 200);
        }
        relay.die(Death::Unavailable);
        assert_eq!(call(relay.server.addr(), &token(), LIMIT).unwrap().status, 503);
    }
}
