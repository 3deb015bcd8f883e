//! What can be done to a running world, in words: one line a step.
//!
//! Scenario files, the control address and people at a terminal use the same words; [`HELP`] lists them.

mod words;

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::ec2::CallFault;
use crate::fault::{Fault, Times};
use crate::imds::notice;
use crate::instance::{Group, Instance, State, TerminatingHook};
use crate::world::World;
use words::Words;
pub(crate) use words::span;

/// Every step, for people.
pub const HELP: &str = "\
spot terminate|stop|hibernate in SPAN   a spot notice; 'moving SPAN': its time moves away; 'ago SPAN': long past
spot gone                               no spot notice
termination-time TEXT                   what spot/termination-time tells; 'gone': what the notice says
rebalance [ago SPAN] | rebalance gone   a rebalance recommendation
event ID CODE in SPAN                   a scheduled event, such as 'event e-1 system-reboot in 1h'
event ID canceled|completed             it leaves the list and enters the history
events empty|missing                    no scheduled events: an empty list, or 404
target STATE | target gone              the target state of the Auto Scaling group
group NAME [min N] [desired N] [hook NAME SPAN]   the instance is a member
group terminate                         the group takes the instance down
life-cycle spot|on-demand               what instance-life-cycle tells
instance running                        the instance is started again at once
imds fault PATTERN FAULT [WHEN]         a fault at paths; PATTERN may end with *
imds heal|refuse|disable|hop-limit|undate|revoke|keep-alive|close
imds throttle N                         429 to more than N requests a second
imds clock SPAN                         the clock is ahead, or with a minus behind
imds token-life SPAN                    tokens live no longer
imds seed N                             the seed of faults by chance
aws fault|lose ACTION [FAULT] [WHEN]    a call is not carried out, or carried out and its reply lost
aws refuse ACTION CODE [WHEN]           a call is refused
aws deny|allow ACTION                   a permission
aws delay SPAN                          every call takes so much longer
aws limit ACTION BURST PER_SECOND       the bucket of an action's class
aws heal                                ends all that
FAULT: status=CODE hang reset close drip=MS late=MS garbage empty html truncated huge=BYTES redirect=URL
       content-type=TYPE without=HEADER body=TEXT noise=BYTES raw=TEXT
WHEN:  'for SPAN', 'times N' or 'chance N%'; without it always. SPAN: 500ms, 3s, 5m, 1h, 2d, 1h30m";

/// Why a step is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StepError {
    /// The words end too early.
    #[error("understand {step:?}: {expected} is missing at its end")]
    Missing {
        /// The step.
        step: String,
        /// What was expected.
        expected: &'static str,
    },
    /// A word makes no sense where it stands.
    #[error("understand {word:?} in {step:?}: expected {expected}")]
    Word {
        /// The step.
        step: String,
        /// The word.
        word: String,
        /// What was expected.
        expected: &'static str,
    },
    /// The step was understood and could not be done.
    #[error("do {step:?}: {why}")]
    Failed {
        /// The step.
        step: String,
        /// Why.
        why: String,
    },
}

/// When a scripted fault strikes: the moment of its end is not known before it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    Always,
    Next(u32),
    For(Duration),
    Chance(u8),
}

impl When {
    fn times(self) -> Times {
        match self {
            Self::Always => Times::Always,
            Self::Next(count) => Times::Next(count),
            Self::For(span) => Times::Until(Instant::now() + span),
            Self::Chance(percent) => Times::Chance(percent),
        }
    }
}

/// The time of a notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    In(SignedDuration),
    Moving(i64),
}

#[derive(Clone, Debug, PartialEq)]
enum What {
    Spot(Option<(String, Due)>),
    TerminationTime(Option<String>),
    Rebalance(Option<SignedDuration>),
    Event { id: String, code: String, begins: SignedDuration },
    EventOver { id: String, state: String },
    Events(Option<String>),
    Target(Option<String>),
    Member { name: String, group: Group },
    ScaleIn,
    LifeCycle(String),
    Running,
    Imds(OfImds),
    Aws(OfAws),
}

#[derive(Clone, Debug, PartialEq)]
enum OfImds {
    Fault(String, Fault, When),
    Heal,
    Refuse,
    Disable,
    HopLimit,
    Undate,
    Revoke,
    KeepAlive,
    Close,
    Throttle(u32),
    Clock(SignedDuration),
    TokenLife(Duration),
    Seed(u64),
}

#[derive(Clone, Debug, PartialEq)]
enum OfAws {
    Fault(String, CallFault, When),
    Refuse(String, String, When),
    Deny(String),
    Allow(String),
    Delay(Duration),
    Limit(String, f64, f64),
    Heal,
}

/// One step.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    text: String,
    what: What,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Step {
    type Err = StepError;

    fn from_str(text: &str) -> Result<Self, StepError> {
        let mut words = Words::new(text);
        let what = what(&mut words)?;
        words.end()?;
        Ok(Self { text: text.trim().to_owned(), what })
    }
}

/// The steps, each by its first word.
fn what(words: &mut Words) -> Result<What, StepError> {
    Ok(match words.next("the name of a step")?.as_str() {
        "spot" => What::Spot(spot(words)?),
        "termination-time" => What::TerminationTime(words.rest_or_gone()?),
        "rebalance" => What::Rebalance(match words.maybe() {
            None => Some(SignedDuration::ZERO),
            Some(word) if word == "gone" => None,
            Some(word) if word == "ago" => Some(-words.signed()?),
            Some(word) => return Err(words.wrong(&word, "ago SPAN or gone")),
        }),
        "event" => event(words)?,
        "events" => What::Events(match words.next("empty or missing")?.as_str() {
            "empty" => Some("[]".into()),
            "missing" => None,
            other => return Err(words.wrong(other, "empty or missing")),
        }),
        "target" => What::Target(words.rest_or_gone()?),
        "group" => group(words)?,
        "life-cycle" => What::LifeCycle(words.next("spot or on-demand")?),
        "instance" => match words.next("running")?.as_str() {
            "running" => What::Running,
            other => return Err(words.wrong(other, "running")),
        },
        "imds" => What::Imds(imds(words)?),
        "aws" => What::Aws(aws(words)?),
        other => return Err(words.wrong(other, "the name of a step, see 'cargo sim --help'")),
    })
}

fn spot(words: &mut Words) -> Result<Option<(String, Due)>, StepError> {
    const ACTIONS: &str = "terminate, stop, hibernate or gone";
    let action = words.next(ACTIONS)?;
    if action == "gone" {
        return Ok(None);
    }
    if !["terminate", "stop", "hibernate"].contains(&action.as_str()) {
        return Err(words.wrong(&action, ACTIONS));
    }
    let due = match words.next("in, moving or ago")?.as_str() {
        "in" => Due::In(words.signed()?),
        "ago" => Due::In(-words.signed()?),
        "moving" => Due::Moving(words.signed()?.as_secs()),
        other => return Err(words.wrong(other, "in, moving or ago")),
    };
    Ok(Some((action, due)))
}

fn event(words: &mut Words) -> Result<What, StepError> {
    let id = words.next("the id of an event")?;
    let code = words.next("a code, canceled or completed")?;
    if ["canceled", "completed"].contains(&code.as_str()) {
        return Ok(What::EventOver { id, state: code });
    }
    match words.next("in")?.as_str() {
        "in" => Ok(What::Event { id, code, begins: words.signed()? }),
        other => Err(words.wrong(other, "in")),
    }
}

fn group(words: &mut Words) -> Result<What, StepError> {
    let name = words.next("the name of the group, or terminate")?;
    if name == "terminate" {
        return Ok(What::ScaleIn);
    }
    let mut group = Group::default();
    while let Some(word) = words.maybe() {
        match word.as_str() {
            "min" => group.min_size = words.number()?,
            "desired" => group.desired_capacity = words.number()?,
            "hook" => group.hooks.push(TerminatingHook {
                name: words.next("the name of a hook")?,
                heartbeat_timeout: words.span()?,
            }),
            other => return Err(words.wrong(other, "min, desired or hook")),
        }
    }
    group.max_size = group.max_size.max(group.desired_capacity + 1);
    Ok(What::Member { name, group })
}

fn imds(words: &mut Words) -> Result<OfImds, StepError> {
    Ok(match words.next("what is done to the metadata service")?.as_str() {
        "fault" => {
            let pattern = words.next("a path")?;
            OfImds::Fault(pattern, words.fault()?, words.when()?)
        }
        "heal" => OfImds::Heal,
        "refuse" => OfImds::Refuse,
        "disable" => OfImds::Disable,
        "hop-limit" => OfImds::HopLimit,
        "undate" => OfImds::Undate,
        "revoke" => OfImds::Revoke,
        "keep-alive" => OfImds::KeepAlive,
        "close" => OfImds::Close,
        "throttle" => OfImds::Throttle(words.number()?),
        "clock" => OfImds::Clock(words.signed()?),
        "token-life" => OfImds::TokenLife(words.span()?),
        "seed" => OfImds::Seed(words.number()?),
        other => return Err(words.wrong(other, "what is done to the metadata service")),
    })
}

fn aws(words: &mut Words) -> Result<OfAws, StepError> {
    let verb = words.next("what is done to the API")?;
    if verb == "heal" {
        return Ok(OfAws::Heal);
    }
    if verb == "delay" {
        return Ok(OfAws::Delay(words.span()?));
    }
    let action = words.next("an action")?;
    Ok(match verb.as_str() {
        "fault" => {
            let fault = CallFault::Instead(words.fault()?);
            OfAws::Fault(action, fault, words.when()?)
        }
        "lose" => {
            let fault = CallFault::Applied(words.fault_or(Fault::Reset));
            OfAws::Fault(action, fault, words.when()?)
        }
        "refuse" => {
            let code = words.next("a code")?;
            OfAws::Refuse(action, code, words.when()?)
        }
        "deny" => OfAws::Deny(action),
        "allow" => OfAws::Allow(action),
        "limit" => OfAws::Limit(action, words.number()?, words.number()?),
        other => {
            return Err(
                words.wrong(other, "fault, lose, refuse, deny, allow, delay, limit or heal")
            );
        }
    })
}

impl Step {
    /// Does it to a world.
    pub fn apply(&self, world: &mut World) -> Result<(), StepError> {
        let failed = |why: String| StepError::Failed { step: self.text.clone(), why };
        let wall = world.imds.wall();
        match &self.what {
            What::Imds(step) => step.apply(world).map_err(failed),
            What::Aws(step) => step.apply(world).map_err(failed),
            told => world.instance.with(|instance| told.tell(instance, wall)).map_err(failed),
        }
    }
}

impl What {
    /// Changes what is true of the instance. `wall` is the metadata service's clock.
    fn tell(&self, instance: &mut Instance, wall: Timestamp) -> Result<(), String> {
        let after = |span: SignedDuration| wall.checked_add(span).map_err(|why| why.to_string());
        match self {
            Self::Spot(notice) => {
                instance.spot_action = match notice {
                    None => None,
                    Some((action, Due::In(span))) => Some(notice::spot(action, after(*span)?)),
                    Some((action, Due::Moving(seconds))) => {
                        Some(notice::moving_spot(action, *seconds))
                    }
                }
            }
            Self::TerminationTime(text) => instance.termination_time.clone_from(text),
            Self::Rebalance(said) => {
                instance.rebalance =
                    said.map(|ago| after(ago).map(notice::rebalance)).transpose()?;
            }
            Self::Event { id, code, begins } => {
                let event = notice::event(id, code, after(*begins)?);
                let mut events = listed(instance.maintenance.as_deref())?;
                events.retain(|known| known["EventId"] != id.as_str());
                events.push(event);
                instance.maintenance = Some(json!(events).to_string());
            }
            Self::EventOver { id, state } => end_event(instance, id, state)?,
            Self::Events(text) => instance.maintenance.clone_from(text),
            Self::Target(state) => instance.target_lifecycle_state.clone_from(state),
            Self::Member { name, group } => {
                instance.auto_scaling_group = Some(name.clone());
                instance.group = group.clone();
                instance.target_lifecycle_state = Some("InService".into());
            }
            Self::ScaleIn if instance.auto_scaling_group.is_none() => {
                return Err("the instance is in no group".into());
            }
            Self::ScaleIn => instance.scale_in(Instant::now()),
            Self::LifeCycle(word) => instance.life_cycle.clone_from(word),
            Self::Running => {
                instance.state = State::Running;
                instance.turns = None;
            }
            Self::Imds(_) | Self::Aws(_) => {}
        }
        Ok(())
    }
}

fn listed(text: Option<&str>) -> Result<Vec<Value>, String> {
    let text = text.unwrap_or("[]");
    serde_json::from_str(text).map_err(|why| format!("the list of events is none: {why}"))
}

/// Moves an event into the history, described as the real service does.
fn end_event(instance: &mut Instance, id: &str, state: &str) -> Result<(), String> {
    let mut scheduled = listed(instance.maintenance.as_deref())?;
    let mut history = listed(instance.maintenance_history.as_deref())?;
    let found = scheduled.iter().position(|event| event["EventId"] == id);
    let mut event = scheduled.remove(found.ok_or_else(|| format!("no event {id} is scheduled"))?);
    let mark = if state == "canceled" { "Canceled" } else { "Completed" };
    let description = event["Description"].as_str().unwrap_or_default();
    event["Description"] = json!(format!("[{mark}] {description}"));
    event["State"] = json!(state);
    history.push(event);
    instance.maintenance = Some(json!(scheduled).to_string());
    instance.maintenance_history = Some(json!(history).to_string());
    Ok(())
}

impl OfImds {
    fn apply(&self, world: &mut World) -> Result<(), String> {
        let imds = &mut world.imds;
        match self {
            Self::Fault(pattern, fault, when) => imds.fault(pattern, fault.clone(), when.times()),
            Self::Heal => return imds.heal().map_err(|why| why.to_string()),
            Self::Refuse => imds.refuse(),
            Self::Disable => imds.disable(),
            Self::HopLimit => imds.hop_limit(),
            Self::Undate => imds.undate(),
            Self::Revoke => imds.revoke_tokens(),
            Self::KeepAlive => imds.keep_alive(),
            Self::Close => imds.close_each(),
            Self::Throttle(most) => imds.throttle(f64::from(*most), f64::from(*most)),
            Self::Clock(ahead) => imds.shift_clock(*ahead),
            Self::TokenLife(most) => imds.cap_token_life(*most),
            Self::Seed(seed) => imds.seed(*seed),
        }
        Ok(())
    }
}

impl OfAws {
    fn apply(&self, world: &mut World) -> Result<(), String> {
        let ec2 = &mut world.ec2;
        match self {
            Self::Fault(action, fault, when) => ec2.fault(action, fault.clone(), when.times()),
            Self::Refuse(action, code, when) => ec2.refuse_with(action, code, when.times()),
            Self::Deny(action) => ec2.deny(action),
            Self::Allow(action) => ec2.allow(action),
            Self::Delay(late) => ec2.delay(*late),
            Self::Limit(action, burst, rate) => ec2.limit(action, *burst, *rate),
            Self::Heal => return ec2.heal().map_err(|why| why.to_string()),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
