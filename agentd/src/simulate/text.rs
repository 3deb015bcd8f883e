//! A simulation for people: what would have happened and when, what it saves, whom it interrupts.

use std::fmt::Write as _;
use std::time::Duration;

use agent_core::action::Power;
use agent_core::reason::Event;
use agent_core::replay::{Happening, Use, What};
use agent_core::stamp::Stamp;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::services::{NoMore, Unaccounted};
use super::{Simulation, saved};
use crate::config::duration;
use crate::events::text::printable;

/// The longest text of others in a line.
const MOST_TEXT: usize = 240;

/// How a simulation is shown.
#[derive(Clone, Debug)]
pub(super) struct Look {
    /// The time zone.
    pub(super) zone: TimeZone,
    /// Everything, also what led to nothing.
    pub(super) all: bool,
    /// What an hour costs, US dollars.
    pub(super) price: Option<f64>,
}

impl Look {
    fn moment(&self, at: Stamp) -> String {
        Timestamp::from_millisecond(at.wall_ms).map_or_else(
            |_| format!("{} ms", at.wall_ms),
            |at| at.to_zoned(self.zone.clone()).strftime("%Y-%m-%d %H:%M:%S").to_string(),
        )
    }
}

/// The whole text.
pub(super) fn text(simulation: &Simulation, name: &str, under: &str, look: &Look) -> String {
    let mut text = heading(simulation, name, under, look);
    let mut lines = 0;
    let mut warned = false;
    for happening in &simulation.happened {
        if let Some((word, detail)) = line(happening, look, &mut warned) {
            let at = look.moment(happening.at);
            let detail = printable(&detail, MOST_TEXT);
            let _ = writeln!(text, "  {at}  {word:<12} {detail}");
            lines += 1;
        }
    }
    if lines > 0 {
        text.push('\n');
    }
    sum(&mut text, simulation, look);
    if let Some(unaccounted) = &simulation.unaccounted {
        services(&mut text, unaccounted, look);
    }
    for note in &simulation.notes {
        let _ = writeln!(text, "Note: {}", printable(note, MOST_TEXT));
    }
    text
}

fn heading(simulation: &Simulation, name: &str, under: &str, look: &Look) -> String {
    let idle = &simulation.policy.idle;
    let rule = match idle.action.filter(|_| idle.enabled) {
        Some(power) => format!("{} after {}", power.verb(), duration::format(idle.act_after)),
        None => "idleness leads to no action".to_owned(),
    };
    let zone = if look.zone == TimeZone::UTC { " UTC" } else { "" };
    format!(
        "Trace    {}, {} to {}{zone}\nPolicy   {}: profile {}, {rule}\n\n",
        printable(name, MOST_TEXT),
        look.moment(simulation.first),
        look.moment(simulation.last),
        printable(under, MOST_TEXT),
        printable(&simulation.policy.profile, MOST_TEXT),
    )
}

/// A line of the story, if it is one that people need.
fn line(happening: &Happening, look: &Look, warned: &mut bool) -> Option<(&'static str, String)> {
    match &happening.what {
        What::Told(event) => told(event, look.all, warned),
        What::Acted { power, because, idle_ms } => {
            *warned = false;
            let idle = Duration::from_millis(*idle_ms);
            let since = look.moment(happening.at.before(idle));
            let word = match power {
                Power::Hibernate => "hibernated",
                Power::Stop => "stopped",
            };
            Some((word, format!("idle since {since}; {because}")))
        }
        What::UsedAgain(used) => Some(("used again", of_use(used))),
        What::Booted { id, fresh } if *fresh || look.all => {
            let what = if *fresh { "booted" } else { "recorder" };
            Some((what, format!("boot {id}")))
        }
        What::Asked { power, by } => {
            Some(("asked", format!("{by} asked to {}: not simulated", power.verb())))
        }
        _ => None,
    }
}

fn told(event: &Event, all: bool, warned: &mut bool) -> Option<(&'static str, String)> {
    let away = |ms: u64| format!("the recorded machine was away for {}", span(ms));
    let line = match event {
        Event::Warned { power, in_ms, because } => {
            let again = core::mem::replace(warned, true);
            if again && !all {
                return None;
            }
            ("warned", format!("would {} in {}; {because}", power.verb(), span(*in_ms)))
        }
        Event::CalledOff { because, .. } => {
            *warned = false;
            ("called off", because.clone())
        }
        Event::Resumed { away_ms } if *away_ms > 0 => ("resumed", away(*away_ms)),
        Event::Gap { away_ms } => ("gap", format!("nothing was recorded for {}", span(*away_ms))),
        Event::HoldMade { owner, reason, hold, .. } => {
            ("held", format!("hold {hold} of {owner}: {reason}"))
        }
        Event::HoldEnded { owner, hold, how } => {
            ("released", format!("hold {hold} of {owner}: {how}"))
        }
        Event::BlockExpired { source, subject } => {
            ("unblocked", format!("{source} ({subject}) blocked for too long and counts no more"))
        }
        Event::BecameQuiet { because, .. } if all => ("quiet", because.clone()),
        Event::BecameActive { because } if all => ("active", because.clone()),
        Event::SourceBlind { source, why } if all => ("unknown", format!("{source}: {why}")),
        Event::SourceBack { source, blind_ms } if all => {
            ("known again", format!("{source}, after {}", span(*blind_ms)))
        }
        Event::HookStarted { .. } if all => ("pre-stop", "the hook is taken to succeed".to_owned()),
        Event::Unexpected { what } => ("unexpected", what.clone()),
        _ => return None,
    };
    Some(line)
}

fn sum(text: &mut String, simulation: &Simulation, look: &Look) {
    let recorded = super::millis(simulation.recorded);
    let off = super::millis(simulation.off());
    if simulation.downs.is_empty() {
        let _ = writeln!(text, "Nothing would have been done in {} recorded.", span(recorded));
        let _ = writeln!(text, "At the end: {}", printable(&simulation.end, MOST_TEXT));
        return;
    }
    let share = off.saturating_mul(100).checked_div(recorded).unwrap_or(0);
    let count = times(simulation.downs.len());
    let _ =
        write!(text, "Off {count}, for {} of {} recorded ({share} %)", span(off), span(recorded));
    if let Some(price) = look.price {
        let usd = saved(simulation.off(), price);
        let _ = write!(text, ": {usd:.2} USD saved at {price} USD/h");
    }
    text.push_str(".\n");
    if simulation.interrupted() == 0 {
        text.push_str("Nobody would have been interrupted: no use within 10 minutes after it.\n");
        return;
    }
    let _ = writeln!(text, "Interrupted {}:", times(simulation.interrupted()));
    for down in simulation.downs.iter().filter(|down| !down.interrupted.is_empty()) {
        let lost = match down.power {
            Power::Hibernate => "hibernated, memory kept",
            Power::Stop => "stopped, memory lost",
        };
        let _ = writeln!(text, "  {}  {lost}", look.moment(down.from));
        for used in &down.interrupted {
            let after = super::millis(used.at.since(down.from));
            let when = if after == 0 {
                "in use as it happened".to_owned()
            } else {
                format!("in use {} later", span(after))
            };
            let _ = writeln!(text, "    {}: {when}", printable(&of_use(used), MOST_TEXT));
        }
    }
}

/// What an old trace does not tell, and which stops would be no more.
fn services(text: &mut String, said: &Unaccounted, look: &Look) {
    let Unaccounted { from, to, no_more, unknown } = said;
    let _ = writeln!(
        text,
        "Unknown from {} to {}: what root and services did. It was recorded as one sum that never counted; today it counts.",
        look.moment(*from),
        look.moment(*to)
    );
    for NoMore { at, source, value, limit, unit } in no_more {
        let _ = writeln!(
            text,
            "  {}  no more      services used {value:.3} {unit} of {source} in the idle time before; from {limit} on that is use, whoever it was",
            look.moment(*at)
        );
    }
    if *unknown > 0 {
        let _ = writeln!(
            text,
            "Of {unknown} other {} in that time the trace cannot say whether services were at work.",
            if *unknown == 1 { "stop" } else { "stops" }
        );
    }
}

fn times(count: usize) -> String {
    if count == 1 { "once".to_owned() } else { format!("{count} times") }
}

/// `input (pts/0, alice)`.
fn of_use(used: &Use) -> String {
    let of = [used.subject.as_deref(), used.owner.as_deref()];
    let of: Vec<&str> = of.into_iter().flatten().collect();
    if of.is_empty() {
        used.source.to_string()
    } else {
        format!("{} ({})", used.source, of.join(", "))
    }
}

/// `45s`, `17m`, `3h05m`, `2d04h`.
fn span(ms: u64) -> String {
    let secs = ms / 1000;
    match secs {
        0..=89 => format!("{secs}s"),
        90..=5399 => format!("{}m", secs / 60),
        5400..=172_799 => format!("{}h{:02}m", secs / 3600, secs % 3600 / 60),
        _ => format!("{}d{:02}h", secs / 86_400, secs % 86_400 / 3600),
    }
}
