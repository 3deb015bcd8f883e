//! The screen of `agentctl spot`: what EC2 announces, whether it would be seen, and what is done then.

use agent_proto::Timestamp;
use agent_proto::span::{long, short};
use agent_proto::spot::{
    Hook, HookState, Interruption, InterruptionState, Monitor, Notice, NoticeState, PastNotice,
    Plan, ReactionWord, Spot, WatchState,
};
use agent_proto::status::Mode;

use super::Look;
use super::style::Ink;
use super::text::{fit, labelled, wrapped};
use super::times::{moment, stamp};

/// So many past notices are shown; `--json` has them all.
const PAST: usize = 5;

/// Lines of what a hook printed that are shown.
const OUTPUT: usize = 6;

/// What a person can do against an interruption.
pub(super) const NO_REMEDY: &str = "nothing can";

/// The whole screen.
pub(crate) fn spot(spot: &Spot, look: &Look) -> String {
    let mut out = first_line(spot, look);
    out.push_str(&about(spot, look));
    out.push('\n');
    out.push_str(&monitors(&spot.monitors, look));
    for notice in &spot.notices {
        out.push('\n');
        out.push_str(&announced(notice, spot, look));
    }
    out.push_str("\nPLAN\n");
    out.push_str(&plan(&spot.plan));
    out.push_str("\nBEFORE\n");
    out.push_str(&past(spot, look));
    if spot.output_hidden && has_hooks(spot) {
        out.push_str(&labelled("", "what the hooks printed is for administrators: use sudo"));
    }
    out
}

/// What is going on, in one sentence.
fn first_line(spot: &Spot, look: &Look) -> String {
    let found = &spot.interruption;
    let line = wrapped("", 2, &sentence(found, spot.now, look));
    let ink = match found.state {
        InterruptionState::Blind => Ink::Alarm,
        _ if found.imminent => Ink::Alarm,
        InterruptionState::None => Ink::Good,
        InterruptionState::Announced | InterruptionState::Draining | InterruptionState::Drained => {
            Ink::Notice
        }
        _ => Ink::Bold,
    };
    format!("{}\n", look.style.paint(ink, line.trim_end()))
}

/// What is going on, for people.
pub(super) fn sentence(found: &Interruption, now: Timestamp, look: &Look) -> String {
    match found.state {
        InterruptionState::None => {
            let age = found.last_good.map_or_else(String::new, |at| {
                format!("; the metadata service answered {} ago", long(age(at, now)))
            });
            format!("No interruption is announced{age}")
        }
        InterruptionState::Announced | InterruptionState::Draining | InterruptionState::Drained => {
            announcement(found, now, look)
        }
        InterruptionState::Blind => {
            let since = found
                .blind_since
                .map_or_else(String::new, |at| format!(" since {}", moment(look, at, now)));
            format!(
                "BLIND: the metadata service cannot be read{since}; an interruption would not be seen ({})",
                found.blind.join(", ")
            )
        }
        InterruptionState::Pending => {
            "Not known yet: the metadata service has not answered for every kind of notice"
                .to_owned()
        }
        InterruptionState::Off => {
            "Interruptions are not watched for: [interruption] enabled = false".to_owned()
        }
        InterruptionState::Other => {
            "UNKNOWN: the agent says a word that this version does not know".to_owned()
        }
    }
}

/// The row of `status`.
pub(super) fn brief(found: &Interruption, now: Timestamp, look: &Look) -> String {
    match found.state {
        InterruptionState::None => "none announced".to_owned(),
        InterruptionState::Pending => "not known yet".to_owned(),
        InterruptionState::Off => "not watched for".to_owned(),
        _ => sentence(found, now, look),
    }
}

fn announcement(found: &Interruption, now: Timestamp, look: &Look) -> String {
    let event = found.event.as_deref().unwrap_or_default();
    let action = found.action.as_deref().unwrap_or("interrupt");
    let what = doing(event, action, found.drill);
    let when = match (found.seconds_left, found.deadline) {
        (Some(left), Some(at)) if left >= 1.0 => {
            format!(" in {} (at {})", long(left), moment(look, at, now))
        }
        (_, Some(at)) => format!(" now (due at {})", moment(look, at, now)),
        _ => String::new(),
    };
    let progress = match found.state {
        InterruptionState::Draining => "; the hooks run",
        InterruptionState::Drained => "; the hooks have ended",
        _ => "",
    };
    let blind =
        if found.blind.is_empty() { "" } else { "; the metadata service cannot be read now" };
    format!("{what}{when}{progress}{blind}")
}

/// `EC2 TERMINATES this instance`.
fn doing(event: &str, action: &str, drill: bool) -> String {
    let by = if event == "autoscaling" { "Auto Scaling" } else { "EC2" };
    let verb = match action {
        "terminate" => "TERMINATES this instance",
        "stop" => "STOPS this instance",
        "hibernate" => "HIBERNATES this instance",
        "reboot" => "REBOOTS this instance",
        "retire" => "RETIRES this instance",
        "maintenance" => "works on the host of this instance",
        "rebalance" => "expects to take this instance back soon",
        other => return format!("{by} announces \"{other}\" for this instance"),
    };
    if drill {
        // Nothing happens, so it must not read as if it did.
        return format!("DRILL: as if {by} {}", verb.to_lowercase());
    }
    format!("{by} {verb}")
}

fn about(spot: &Spot, look: &Look) -> String {
    let mut out = String::new();
    if let Some(what) = &spot.interruption.what {
        out.push_str(&labelled("because", what));
        if spot.interruption.imminent {
            out.push_str(&labelled("to stop this", "nothing can"));
        } else if spot.interruption.drill {
            out.push_str(&labelled("", "nothing happens to the instance; the hooks run for real"));
        }
    }
    let life_cycle = match spot.life_cycle.as_str() {
        "unknown" | "" => "UNKNOWN, taken for spot until the metadata service tells it",
        known => known,
    };
    out.push_str(&labelled("life cycle", life_cycle));
    if let Some(target) = &spot.target_lifecycle_state {
        let standby = if spot.standby { ", on standby so that it can be stopped" } else { "" };
        out.push_str(&labelled("Auto Scaling", &format!("target state {target}{standby}")));
    }
    if spot.interruption.state == InterruptionState::Blind {
        let since = spot.interruption.last_good;
        let last = since.map_or("never".to_owned(), |at| moment(look, at, spot.now));
        out.push_str(&labelled("last good", &last));
        out.push_str(&labelled("find out", "agentctl doctor"));
    }
    out
}

/// One row a path.
fn monitors(monitors: &[Monitor], look: &Look) -> String {
    let mut out = row(["WATCHED", "STATE", "LAST ANSWER", "EVERY", "FOR"]);
    if monitors.is_empty() {
        out.push_str("nothing is watched yet\n");
    }
    for monitor in monitors {
        let answer = match monitor.last_good_seconds {
            Some(age) => format!("{} ago", short(age)),
            None => "never".to_owned(),
        };
        let (every, span) = (short(monitor.every_seconds), short(monitor.for_seconds));
        let (answer, every) = match monitor.state {
            WatchState::Off => ("-", "-"),
            _ => (answer.as_str(), every.as_str()),
        };
        let name = fit(&monitor.name, 13);
        let cells = [&name, watched(monitor.state), answer, every, &span];
        let ink = match monitor.state {
            WatchState::Blind | WatchState::Other => Some(Ink::Alarm),
            WatchState::Notice => Some(Ink::Notice),
            WatchState::Off => Some(Ink::Faint),
            _ => None,
        };
        out.push_str(&inked(ink, &row(cells), look));
        if monitor.state == WatchState::Blind && !monitor.detail.is_empty() {
            let detail = format!("{}: {}", monitor.path, monitor.detail);
            out.push_str(&wrapped("              ", 14, &detail));
        }
    }
    out
}

fn row([name, state, answer, every, span]: [&str; 5]) -> String {
    let line = format!("{name:<14}{state:<20}{answer:<18}{every:<10}{span}");
    format!("{}\n", line.trim_end())
}

const fn watched(state: WatchState) -> &'static str {
    match state {
        WatchState::Pending => "not asked yet",
        WatchState::Off => "not watched",
        WatchState::NoNotice => "no notice",
        WatchState::Notice => "NOTICE",
        WatchState::Blind => "BLIND",
        WatchState::Other => "UNKNOWN",
    }
}

fn inked(ink: Option<Ink>, line: &str, look: &Look) -> String {
    let Some(ink) = ink else { return line.to_owned() };
    format!("{}\n", look.style.paint(ink, line.trim_end_matches('\n')))
}

/// One notice with its countdown and its hooks.
fn announced(notice: &Notice, spot: &Spot, look: &Look) -> String {
    let drill = if notice.drill { "DRILL: " } else { "" };
    let mut out = wrapped("", 2, &format!("{drill}{}", notice.what));
    let ink = if notice.stale { Ink::Faint } else { Ink::Bold };
    out = format!("{}\n", look.style.paint(ink, out.trim_end()));
    out.push_str(&labelled("seen", &moment(look, notice.seen, spot.now)));
    if let Some(at) = notice.deadline {
        let left = match notice.seconds_left {
            Some(left) if left >= 1.0 => format!("in {}", long(left)),
            _ => "now, or past".to_owned(),
        };
        out.push_str(&labelled("due", &format!("{left} (at {})", moment(look, at, spot.now))));
    }
    out.push_str(&labelled("state", &reaction(notice, spot, look)));
    out.push_str(&hooks("hooks", &notice.hooks));
    if notice.completed && notice.event == "autoscaling" {
        out.push_str(&labelled("", "Auto Scaling was told that the instance may go"));
    }
    out
}

fn reaction(notice: &Notice, spot: &Spot, look: &Look) -> String {
    match notice.state {
        NoticeState::Notified => "people and programs were told; no hooks run for it".to_owned(),
        NoticeState::Waiting => match notice.drain_at {
            Some(at) => format!("the hooks run from {}", moment(look, at, spot.now)),
            None => "the hooks run later".to_owned(),
        },
        NoticeState::Draining => {
            let ended = notice.hooks.iter().filter(|hook| has_ended(hook.state)).count();
            format!("draining: {ended} of {} hooks have ended", notice.hooks.len())
        }
        NoticeState::Drained => drained(notice),
        NoticeState::Observing => {
            "only observing (mode = \"observe\"): the hooks are NOT run".to_owned()
        }
        NoticeState::Joined => {
            let other = notice.joined.as_deref().unwrap_or("another notice");
            format!("its hooks run for {other}")
        }
        NoticeState::Stale => "its time was long past when it was read: nothing is done".to_owned(),
        NoticeState::Other => "UNKNOWN: this version does not know the agent's word".to_owned(),
    }
}

/// How the drain went, one line.
pub(crate) fn drained(notice: &Notice) -> String {
    if notice.hooks.is_empty() {
        return "drained: no hooks are configured".to_owned();
    }
    let well = notice.hooks.iter().filter(|hook| hook.state == HookState::Done).count();
    let span = notice.drain_seconds.map_or_else(String::new, |span| format!(" in {}", took(span)));
    format!("drained{span}: {well} of {} hooks ended well", notice.hooks.len())
}

/// One line a hook, with what it printed where that is told.
fn hooks(label: &str, hooks: &[Hook]) -> String {
    let each = hooks.iter().enumerate().map(|(n, one)| {
        let mut out = labelled(if n == 0 { label } else { "" }, &hook(one));
        let detail = one.detail.as_deref().unwrap_or_default();
        let lines: Vec<&str> = detail.lines().filter(|line| !line.trim().is_empty()).collect();
        for line in lines.iter().skip(lines.len().saturating_sub(OUTPUT)) {
            out.push_str(&wrapped(&" ".repeat(18), 18, line));
        }
        out
    });
    each.collect()
}

/// `/opt/drain: done in 3.2 s`.
pub(crate) fn hook(hook: &Hook) -> String {
    let span = hook.took_seconds.map(took);
    let state = match (hook.state, span) {
        (HookState::Waiting, _) => "waits".to_owned(),
        (HookState::Started, _) => "runs".to_owned(),
        (HookState::Done, Some(span)) => format!("done in {span}"),
        (HookState::Done, None) => "done".to_owned(),
        (HookState::Failed, Some(span)) => format!("FAILED after {span}"),
        (HookState::Failed, None) => "FAILED".to_owned(),
        (HookState::Lost, _) => "LOST: nobody saw its end".to_owned(),
        (HookState::Skipped, _) => "SKIPPED: no time was left".to_owned(),
        (HookState::Other, _) => "UNKNOWN".to_owned(),
    };
    format!("{}: {state}", hook.hook)
}

/// Whether a hook does no more.
pub(crate) const fn has_ended(state: HookState) -> bool {
    !matches!(state, HookState::Waiting | HookState::Started)
}

/// What would be done.
fn plan(plan: &Plan) -> String {
    if !plan.enabled {
        return labelled("plan", "none: [interruption] enabled = false");
    }
    let mut out = String::new();
    let list = |label: &str, hooks: &[String]| {
        if hooks.is_empty() {
            return labelled(label, "none");
        }
        let each = hooks.iter().enumerate();
        each.map(|(n, hook)| labelled(if n == 0 { label } else { "" }, hook)).collect()
    };
    out.push_str(&list("hooks", &plan.hooks));
    out.push_str(&list("fast hooks", &plan.fast_hooks));
    if !(plan.hooks.is_empty() && plan.fast_hooks.is_empty()) {
        out.push_str(&labelled("run as", &plan.user));
    }
    let word = |word: ReactionWord| if word == ReactionWord::Drain { "drain" } else { "notify" };
    let policy = format!(
        "rebalance: {}; scheduled events: {}, {} before; Auto Scaling: {}, for at most {}",
        word(plan.rebalance),
        word(plan.maintenance),
        long(plan.maintenance_lead_seconds),
        word(plan.autoscaling),
        long(plan.autoscaling_drain_seconds)
    );
    out.push_str(&labelled("policy", &policy));
    if plan.mode == Mode::Observe {
        out.push_str(&labelled("mode", "observe: people are told, hooks are NOT run"));
    }
    out
}

/// How the last interruptions ended.
fn past(spot: &Spot, look: &Look) -> String {
    if spot.last.is_empty() {
        return labelled("last", "none");
    }
    let shown = spot.last.iter().take(PAST).enumerate();
    let mut out: String = shown
        .map(|(n, one)| {
            let label = if n == 0 { "last" } else { "earlier" };
            let mut out = labelled(label, &over(one, look));
            // Only the latest is told in full.
            if n == 0 {
                out.push_str(&hooks("its hooks", &one.notice.hooks));
            }
            out
        })
        .collect();
    if spot.last.len() > PAST {
        out.push_str(&labelled("", &format!("and {} earlier", spot.last.len() - PAST)));
    }
    out
}

fn over(past: &PastNotice, look: &Look) -> String {
    let drill = if past.notice.drill { "DRILL: " } else { "" };
    let drained = match past.notice.state {
        NoticeState::Drained => format!("; {}", drained(&past.notice)),
        _ => String::new(),
    };
    let when = stamp(look, past.notice.seen);
    format!("{when}  {drill}{}: {}{drained}", past.notice.what, past.because)
}

fn has_hooks(spot: &Spot) -> bool {
    let past = spot.last.iter().take(1).map(|past| &past.notice);
    spot.notices.iter().chain(past).any(|notice| !notice.hooks.is_empty())
}

/// How long something took: tenths where they matter.
pub(crate) fn took(seconds: f64) -> String {
    if (0.0..9.95).contains(&seconds) { format!("{seconds:.1} s") } else { long(seconds) }
}

fn age(at: Timestamp, now: Timestamp) -> f64 {
    now.duration_since(at).as_secs_f64()
}

#[cfg(test)]
mod tests;
