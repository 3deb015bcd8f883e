//! The lines of what the engine decided.

use agent_core::action::Power;
use agent_core::input::Wishes;
use agent_core::reason::Event;

use super::{Field, Line, ids, interrupted, seconds, spoken, time};

impl From<&Event> for Line {
    fn from(event: &Event) -> Self {
        idleness(event)
            .or_else(|| asking(event))
            .or_else(|| aftermath(event))
            .or_else(|| circumstances(event))
            .or_else(|| interrupted::line(event))
            .unwrap_or_else(|| unexpected(&format!("an event without a sentence: {event:?}")))
    }
}

fn unexpected(what: &str) -> Line {
    let text = format!("Something unexpected happened, keeping the state: {what}");
    Line::error(ids::UNEXPECTED, text).with(Field::Detail, what)
}

trait OfAction {
    fn power(self, power: Power) -> Self;
    fn not_counted(self, text: Option<&str>) -> Self;
}

impl OfAction for Line {
    /// The catalog has a place for it, so it is never missing.
    fn not_counted(self, text: Option<&str>) -> Self {
        self.with(Field::NotCounted, text.unwrap_or("nothing"))
    }

    fn power(self, power: Power) -> Self {
        self.with(Field::Power, power.verb())
    }
}

/// What ran and was not counted, behind the reason.
fn beside(not_counted: Option<&str>) -> String {
    not_counted.map(|text| format!("; not counted: {text}")).unwrap_or_default()
}

/// From use to the warning.
fn idleness(event: &Event) -> Option<Line> {
    let line = match event {
        Event::BecameActive { because } => {
            Line::info(ids::BECAME_ACTIVE, format!("The machine is in use: {because}"))
                .with(Field::Because, because)
        }
        Event::BecameQuiet { because, act_at_wall_ms } => {
            let due = act_at_wall_ms.map(time);
            let when =
                due.as_ref().map(|at| format!("; the action is due at {at}")).unwrap_or_default();
            Line::info(ids::BECAME_QUIET, format!("The machine is quiet: {because}{when}"))
                .with(Field::Because, because)
                .with(Field::Time, due.as_deref().unwrap_or("none"))
        }
        Event::Warned { power, in_ms, because, not_counted } => {
            let beside = beside(not_counted.as_deref());
            let text = format!("Will {} in {}: {because}{beside}", power.verb(), spoken(*in_ms));
            Line::warning(ids::WARNED, text)
                .power(*power)
                .with(Field::Because, because)
                .with(Field::Seconds, seconds(*in_ms))
                .not_counted(not_counted.as_deref())
        }
        Event::CalledOff { power, because } => {
            let text = format!("Will not {} after all: {because}", power.verb());
            Line::info(ids::CALLED_OFF, text).power(*power).with(Field::Because, because)
        }
        Event::WouldAct { power, because, not_counted } => {
            let beside = beside(not_counted.as_deref());
            let text = format!("Would {} now, only observing: {because}{beside}", power.verb());
            Line::info(ids::WOULD_ACT, text)
                .power(*power)
                .with(Field::Because, because)
                .not_counted(not_counted.as_deref())
        }
        _ => return None,
    };
    Some(line)
}

/// From the hook to the answer of EC2.
fn asking(event: &Event) -> Option<Line> {
    let line = match event {
        Event::HookStarted { power } => {
            let text = format!("Running the pre-stop hook, to {} after it", power.verb());
            Line::info(ids::HOOK_STARTED, text).power(*power)
        }
        Event::HookEnded { detail, output, ok } => {
            let (line, how): (fn(_, String) -> _, _) =
                if *ok { (Line::info, "ended well") } else { (Line::warning, "failed") };
            let printed = output.for_administrators();
            let said = if printed.is_empty() { String::new() } else { format!(": {printed}") };
            line(ids::HOOK_ENDED, format!("The pre-stop hook {how}: {detail}{said}"))
                .with_output(Field::Detail, &format!("{detail}{said}"))
        }
        Event::HookNotRepeated => Line::warning(
            ids::HOOK_NOT_REPEATED,
            "The pre-stop hook was started by an earlier run of agentd, not running it again",
        ),
        Event::Asking { power, because, not_counted } => {
            let beside = beside(not_counted.as_deref());
            let text = format!("Asking EC2 to {} this instance: {because}{beside}", power.verb());
            Line::info(ids::ASKING, text)
                .power(*power)
                .with(Field::Because, because)
                .not_counted(not_counted.as_deref())
        }
        Event::Accepted { power, detail } => {
            let text = format!("EC2 accepted to {} this instance: {detail}", power.verb());
            Line::info(ids::ACCEPTED, text).power(*power).with(Field::Detail, detail)
        }
        Event::Refused { power, code, detail } => {
            let text = format!("Cannot {} this instance: {detail} ({code})", power.verb());
            Line::error(ids::REFUSED, text)
                .power(*power)
                .with(Field::Code, code)
                .with(Field::Detail, detail)
        }
        Event::Failed { power, error, retry_ms } => {
            let again = retry_ms.map_or_else(
                || "not trying again in this idle period".to_owned(),
                |ms| format!("trying again in {}", spoken(ms)),
            );
            let text = format!("Failed to {} this instance: {error}; {again}", power.verb());
            Line::error(ids::FAILED, text)
                .power(*power)
                .with(Field::Error, error)
                .with(Field::Detail, again)
                .maybe(Field::Seconds, retry_ms.map(seconds))
        }
        Event::FellBack { because } => {
            Line::warning(ids::FELL_BACK, format!("Stopping instead of hibernating: {because}"))
                .with(Field::Because, because)
        }
        _ => return None,
    };
    Some(line)
}

/// How it ended.
fn aftermath(event: &Event) -> Option<Line> {
    let line = match event {
        Event::Hibernated { slept_ms } => {
            let text = format!("Back from hibernation with its memory after {}", spoken(*slept_ms));
            Line::info(ids::HIBERNATED, text).with(Field::Seconds, seconds(*slept_ms))
        }
        Event::ColdBoot { asked_wall_ms } => {
            let asked = time(*asked_wall_ms);
            let text = format!(
                "Was to be hibernated at {asked} and came up by a cold boot: its memory is lost"
            );
            Line::error(ids::COLD_BOOT, text).with(Field::Time, asked)
        }
        Event::StoppedAndStarted { asked_wall_ms } => {
            let asked = time(*asked_wall_ms);
            Line::info(
                ids::STOPPED_AND_STARTED,
                format!("Was stopped as asked at {asked} and has been started again"),
            )
            .with(Field::Time, asked)
        }
        Event::NeverStopped { power, waited_ms } => {
            let text = format!(
                "EC2 accepted to {} this instance, which still runs after {}",
                power.verb(),
                spoken(*waited_ms)
            );
            Line::error(ids::NEVER_STOPPED, text)
                .power(*power)
                .with(Field::Seconds, seconds(*waited_ms))
        }
        Event::Resumed { away_ms } => {
            let text = format!("Resumed after {}, every idle time starts anew", spoken(*away_ms));
            Line::info(ids::RESUMED, text).with(Field::Seconds, seconds(*away_ms))
        }
        Event::Gap { away_ms } => {
            let text = format!(
                "Could not look at the machine for {}, every idle time starts anew",
                spoken(*away_ms)
            );
            Line::warning(ids::GAP, text).with(Field::Seconds, seconds(*away_ms))
        }
        _ => return None,
    };
    Some(line)
}

/// What the tags of the instance ask for, in words.
fn wished(wishes: &Wishes) -> String {
    let mut parts = Vec::new();
    if wishes.observe {
        parts.push("observing only".to_owned());
    }
    parts.extend(wishes.act_after_ms.map(|ms| format!("at least {} of idleness", spoken(ms))));
    parts.extend(wishes.hold_until_wall_ms.map(|at| format!("keeping it up until {}", time(at))));
    if parts.is_empty() { "nothing more".to_owned() } else { parts.join(", ") }
}

/// What has to do with sources, holds and the policy.
fn circumstances(event: &Event) -> Option<Line> {
    let line = match event {
        Event::SourceBlind { source, why } => {
            let text = format!("Cannot read {source}, not acting until it can be read: {why}");
            Line::warning(ids::SOURCE_BLIND, text)
                .with(Field::Source, source)
                .with(Field::Because, why)
        }
        Event::SourceBack { source, blind_ms } => {
            let text = format!("Can read {source} again after {}", spoken(*blind_ms));
            Line::info(ids::SOURCE_BACK, text)
                .with(Field::Source, source)
                .with(Field::Seconds, seconds(*blind_ms))
        }
        Event::HoldMade { hold, owner, until_wall_ms, reason } => {
            let until = time(*until_wall_ms);
            let text =
                format!("{owner} holds the machine up until {until}: {reason} (hold {hold})");
            Line::info(ids::HOLD_MADE, text)
                .with(Field::Hold, hold.to_string())
                .with(Field::Owner, owner)
                .with(Field::Time, until)
                .with(Field::Because, reason)
        }
        Event::HoldEnded { hold, owner, how } => {
            Line::info(ids::HOLD_ENDED, format!("Hold {hold} of {owner} ended: {how}"))
                .with(Field::Hold, hold.to_string())
                .with(Field::Owner, owner)
                .with(Field::Detail, how)
        }
        Event::BlockExpired { source, subject } => {
            let text =
                format!("{subject} ({source}) kept the machine up for too long, ignoring it");
            Line::warning(ids::BLOCK_EXPIRED, text)
                .with(Field::Source, source)
                .with(Field::Subject, subject)
        }
        Event::Looping { act_after_ms } => {
            let text = format!(
                "People came back right after the last stops, waiting for {} of idleness for a day",
                spoken(*act_after_ms)
            );
            Line::warning(ids::LOOPING, text).with(Field::Seconds, seconds(*act_after_ms))
        }
        Event::Wished { wishes } => {
            let text = wished(wishes);
            Line::info(ids::WISHED, format!("The tags of this instance ask for {text}"))
                .with(Field::Detail, text)
        }
        Event::PolicyChanged => Line::info(ids::POLICY_CHANGED, "A changed policy is in force"),
        Event::Unexpected { what } => unexpected(what),
        _ => return None,
    };
    Some(line)
}
