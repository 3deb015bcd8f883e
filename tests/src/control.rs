//! A running world steered from other programs: small text requests over HTTP.
//!
//! | request | what it does |
//! | --- | --- |
//! | `GET /instance` | the instance's state and tags as JSON |
//! | `GET /imds` | what the metadata service saw |
//! | `GET /ec2` | every call to EC2, one JSON document a line |
//! | `GET /imds/requests` | every request to the metadata service, one JSON document a line |
//! | `POST /do?step=TEXT` | any step in words, see [`HELP`](crate::step::HELP) |
//! | `POST /imds/fault?path=PATTERN&fault=FAULT[&times=N]` | scripts a fault, see [`Fault`] |
//! | `POST /ec2/refuse?action=PATTERN&code=CODE[&times=N]` | scripts a refusal |
//! | `POST /ec2/lose?action=PATTERN[&times=N]` | carries out the call and loses the reply |
//! | `POST /imds/heal`, `POST /ec2/heal` | ends every fault |
//! | `POST /instance?state=running` | starts the instance again at once |
//! | `POST /instance?spot-action=TEXT` | sets an item; an empty text takes it away; also `rebalance` |

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use serde_json::json;

use crate::ec2::{CallFault, Query};
use crate::fault::{Fault, Times};
use crate::imds::SeenRequest;
use crate::instance::State;
use crate::locked;
use crate::server::{Answer, Server, Service};
use crate::step::{Step, StepError};
use crate::wire::{Reply, Request};
use crate::world::World;

/// The steering of a world, which it owns.
#[derive(Debug)]
pub struct Control {
    server: Server,
    steering: Arc<Steering>,
}

#[derive(Debug)]
struct Steering {
    world: Mutex<World>,
}

impl Control {
    /// Listens on `addr` for a world.
    pub fn start(addr: SocketAddr, world: World) -> io::Result<Self> {
        let steering = Arc::new(Steering { world: Mutex::new(world) });
        let server = Server::start(addr, Arc::clone(&steering) as Arc<dyn Service>)?;
        Ok(Self { server, steering })
    }

    /// The address that it listens on.
    pub fn addr(&self) -> SocketAddr {
        self.server.addr()
    }

    /// Does a step to the world.
    pub fn apply(&self, step: &Step) -> Result<(), StepError> {
        step.apply(&mut locked(&self.steering.world))
    }

    /// Looks at the world; whatever `look` returns is returned.
    pub fn look<T>(&self, look: impl FnOnce(&World) -> T) -> T {
        look(&locked(&self.steering.world))
    }

    /// The environment variables that lead a program into the world.
    pub fn environment(&self) -> Vec<(String, String)> {
        locked(&self.steering.world).environment()
    }
}

impl Service for Steering {
    fn answer(&self, request: &Request) -> Answer {
        let query = Query::parse(&request.body, request.query());
        let mut world = locked(&self.world);
        let done = match request.method.as_str() {
            "GET" => look(request.path(), &world),
            "POST" => steer(request.path(), &query, &mut world),
            _ => Err("only GET and POST are understood".into()),
        };
        match done {
            Ok(text) => Reply::text(200, &text).into(),
            Err(why) => Reply::text(400, &format!("{why}\n")).into(),
        }
    }
}

fn look(path: &str, world: &World) -> Result<String, String> {
    match path {
        "/instance" => {
            let now = world.instance.snapshot();
            Ok(json!({"id": now.id, "state": now.state.name(), "reason": now.state_reason, "tags": now.all_tags()})
                .to_string())
        }
        "/imds" => {
            let seen = world.imds.seen();
            Ok(json!({
                "requests": seen.requests.len(),
                "tokens": seen.tokens,
                "tokenless": seen.tokenless,
                "doubled": seen.doubled,
                "rejected": seen.rejected,
            })
            .to_string())
        }
        "/imds/requests" => {
            let requests = world.imds.seen().requests;
            Ok(requests.iter().flat_map(|request| [line(request), "\n".to_owned()]).collect())
        }
        "/ec2" => Ok(world.ec2.log().lines()),
        other => Err(format!("there is nothing at {other}")),
    }
}

/// One request to the metadata service.
fn line(request: &SeenRequest) -> String {
    json!({
        "ago_ms": u64::try_from(request.at.elapsed().as_millis()).unwrap_or(u64::MAX),
        "method": request.method,
        "path": request.path,
        "status": request.status,
        "fault": request.fault.as_ref().map(ToString::to_string),
    })
    .to_string()
}

fn steer(path: &str, query: &Query, world: &mut World) -> Result<String, String> {
    let given =
        |name: &str| query.get(name).ok_or_else(|| format!("the parameter {name} is missing"));
    let times = match query.get("times").map(str::parse) {
        None => Times::Always,
        Some(Ok(count)) => Times::Next(count),
        Some(Err(why)) => return Err(format!("times: {why}")),
    };
    match path {
        "/do" => {
            let step: Step = given("step")?.parse().map_err(|why| format!("{why}"))?;
            step.apply(world).map_err(|why| why.to_string())?;
        }
        "/imds/fault" => {
            let fault: Fault = given("fault")?.parse().map_err(|why| format!("{why}"))?;
            world.imds.fault(given("path")?, fault, times);
        }
        "/ec2/refuse" => world.ec2.refuse_with(given("action")?, given("code")?, times),
        "/ec2/lose" => {
            world.ec2.fault(given("action")?, CallFault::Applied(Fault::Reset), times);
        }
        "/imds/heal" => world.imds.heal().map_err(|why| why.to_string())?,
        "/ec2/heal" => world.ec2.heal().map_err(|why| why.to_string())?,
        "/instance" => set(query, world)?,
        other => return Err(format!("there is nothing at {other}")),
    }
    Ok("done\n".into())
}

fn set(query: &Query, world: &World) -> Result<(), String> {
    let text = |value: &str| (!value.is_empty()).then(|| value.to_owned());
    for (name, value) in query.parameters() {
        world.instance.with(|instance| match name.as_str() {
            "state" if value == "running" => {
                instance.state = State::Running;
                instance.turns = None;
                Ok(())
            }
            "spot-action" => {
                instance.spot_action = text(&value);
                Ok(())
            }
            "rebalance" => {
                instance.rebalance = text(&value);
                Ok(())
            }
            other => Err(format!("{other}={value} cannot be set")),
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::instance::Instance;
    use crate::wire::call;

    const LIMIT: Duration = Duration::from_secs(5);

    fn ask(control: &Control, method: &str, target: &str) -> (u16, String) {
        let reply = call(control.addr(), &Request::new(method, target), LIMIT).unwrap();
        (reply.status, reply.body_text())
    }

    fn control() -> Control {
        let addr = SocketAddr::from(([127, 0, 0, 1], 0));
        Control::start(addr, World::start(Instance::default()).unwrap()).unwrap()
    }

    #[test]
    fn the_world_can_be_looked_at() {
        let control = control();
        let (status, instance) = ask(&control, "GET", "/instance");
        assert!(status == 200 && instance.contains("\"state\":\"running\""), "{instance}");
        assert!(ask(&control, "GET", "/imds").1.contains("\"tokenless\":0"));
        assert_eq!(ask(&control, "GET", "/ec2"), (200, String::new()));
        assert_eq!(ask(&control, "GET", "/other").0, 400);
    }

    #[test]
    fn faults_can_be_scripted_and_ended() {
        let control = control();
        let imds = locked(&control.steering.world).imds.addr();
        let token = Request::new("PUT", "/latest/api/token")
            .with_header("X-aws-ec2-metadata-token-ttl-seconds", "60");
        let fault = "/imds/fault?path=/latest/*&fault=status%3D503";
        assert_eq!(ask(&control, "POST", fault).0, 200);
        assert_eq!(call(imds, &token, LIMIT).unwrap().status, 503);
        assert_eq!(ask(&control, "POST", "/imds/heal").0, 200);
        assert_eq!(call(imds, &token, LIMIT).unwrap().status, 200);
    }

    #[test]
    fn steps_in_words_are_done() {
        let control = control();
        assert_eq!(ask(&control, "POST", "/do?step=spot+terminate+in+120s").0, 200);
        assert!(control.look(|world| world.instance.snapshot().spot_action.is_some()));
        control.apply(&"spot gone".parse().unwrap()).unwrap();
        assert!(control.look(|world| world.instance.snapshot().spot_action.is_none()));
        let imds = control.look(|world| world.imds.addr());
        call(imds, &Request::new("GET", "/latest/meta-data/spot"), LIMIT).unwrap();
        let requests = ask(&control, "GET", "/imds/requests").1;
        assert!(requests.contains("\"path\":\"/latest/meta-data/spot\""), "{requests}");
    }

    #[test]
    fn mistakes_are_told() {
        let control = control();
        for (target, word) in [
            ("/do?step=spot+explode", "explode"),
            ("/do", "step"),
            ("/imds/fault?path=/x", "fault"),
            ("/imds/fault?path=/x&fault=hnag", "hnag"),
            ("/ec2/refuse?action=StopInstances", "code"),
            ("/ec2/lose?action=X&times=often", "times"),
            ("/instance?colour=blue", "colour"),
        ] {
            let (status, text) = ask(&control, "POST", target);
            assert!(status == 400 && text.contains(word), "{target}: {text}");
        }
    }
}
