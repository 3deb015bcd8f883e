//! What EC2 announces, in the words of the wire: `GET /v1/spot`, and the short form of it in `status`.

use core::time::Duration;

use agent_core::interruption::{
    Alert, AlertEnd, HookRun, InterruptionPolicy, Notice, PastAlert, Reaction, RunState,
};
use agent_core::policy::Mode;
use agent_core::stamp::Stamp;
use agent_proto::spot::{self as wire, InterruptionState, NoticeState, Spot};
use agent_proto::status::{Imds, ImdsState, Obstacle};

use super::convert::{self, moment};
use super::event_line::wall;
use crate::publish::{PathWatch, Published, WatchState};

/// A path of which nothing was heard for three turns and this long is not read, whatever its task said last.
const SILENCE: Duration = Duration::from_mins(2);

/// Who looks at what the hooks printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// An administrator: everything.
    Admin,
    /// Anybody else. A hook may print secrets, so its output is left out.
    Anybody,
}

/// The document at `now`, for a reader.
pub fn spot(published: &Published, now: Stamp, reader: Reader) -> Spot {
    let view = &published.view;
    let known = &view.interruptions;
    Spot {
        schema: wire::SPOT_SCHEMA.to_owned(),
        now: wall(now.wall_ms),
        life_cycle: life_cycle(published),
        interruption: interruption(published, now),
        monitors: published.notices.paths.iter().map(|path| monitor(path, now)).collect(),
        notices: known.alerts.iter().map(|alert| notice(alert, published, now, reader)).collect(),
        target_lifecycle_state: known.target.map(|target| target.as_str().to_owned()),
        standby: known.standby,
        plan: plan(published),
        last: known.past.iter().rev().map(|past| over(past, published, now, reader)).collect(),
        output_hidden: reader == Reader::Anybody,
    }
}

fn life_cycle(published: &Published) -> String {
    let watch = Some(&published.notices.life_cycle);
    let identity = published.instance.as_ref().map(|instance| &instance.life_cycle);
    let known = watch.into_iter().chain(identity).find(|word| !word.is_empty());
    known.map_or_else(|| "unknown".to_owned(), Clone::clone)
}

/// The whole in one word, with the notice that matters most.
pub fn interruption(published: &Published, now: Stamp) -> wire::Interruption {
    let paths = watched(published);
    let blind: Vec<&PathWatch> =
        paths.iter().copied().filter(|path| state(path, now) == WatchState::Blind).collect();
    let last_good = if blind.is_empty() {
        paths.iter().filter_map(|path| path.last_good).max_by_key(|at| at.boot_ms)
    } else if blind.iter().all(|path| path.last_good.is_some()) {
        blind.iter().filter_map(|path| path.last_good).min_by_key(|at| at.boot_ms)
    } else {
        None
    };
    let most = foremost(published);
    let due = most.and_then(|alert| alert.due);
    wire::Interruption {
        state: match most {
            Some(alert) => match &alert.drain {
                Some(drain) if drain.ended.is_none() => InterruptionState::Draining,
                Some(_) => InterruptionState::Drained,
                None => InterruptionState::Announced,
            },
            None if !blind.is_empty() => InterruptionState::Blind,
            None if !published.view.interruption.enabled => InterruptionState::Off,
            None if paths.is_empty() || paths.iter().any(|p| p.state == WatchState::Pending) => {
                InterruptionState::Pending
            }
            None => InterruptionState::None,
        },
        what: most.map(|alert| alert.notice.to_string()),
        event: most.map(|alert| alert.notice.event().to_owned()),
        action: most.map(|alert| alert.notice.action().to_owned()),
        deadline: due.map(|due| wall(due.wall_ms)),
        seconds_left: due.map(|due| due.since(now).as_secs_f64()),
        drill: most.is_some_and(|alert| alert.drill),
        imminent: most.is_some_and(|alert| imminent(alert, &published.view.interruption, now)),
        blind: blind.iter().map(|path| path.name.to_owned()).collect(),
        blind_since: blind
            .iter()
            .map(|path| path.since)
            .min_by_key(|at| at.boot_ms)
            .map(|at| moment(now, at)),
        last_good: last_good.map(|at| moment(now, at)),
    }
}

/// The metadata service in one word: it is only fine while everything that was asked last was answered.
pub fn imds(published: &Published, now: Stamp) -> Imds {
    let health = &published.imds;
    let paths = watched(published);
    let blind = paths.iter().find(|path| state(path, now) == WatchState::Blind);
    let goods = paths.iter().filter_map(|path| path.last_good);
    let last_good = goods.chain(health.last_good).max_by_key(|at| at.boot_ms);
    let state = if blind.is_some() || !(health.ok || health.is_not_tried()) {
        ImdsState::Blind
    } else if !health.ok || paths.iter().any(|path| path.state == WatchState::Pending) {
        ImdsState::Pending
    } else {
        ImdsState::Ok
    };
    let detail = match blind {
        Some(path) if health.ok => format!("{}: {}", path.path, path.detail),
        _ => health.detail.clone(),
    };
    Imds {
        ok: health.ok,
        detail,
        last_good: last_good.map(|at| moment(now, at)),
        state: Some(state),
    }
}

/// What stands in the way of everything else while the instance is about to go down.
pub fn obstacle(published: &Published, now: Stamp) -> Option<Obstacle> {
    let alert = foremost(published)
        .filter(|alert| imminent(alert, &published.view.interruption, now))
        .filter(|_| !published.view.obstacles.iter().any(|each| each.code == "interrupted"))?;
    Some(Obstacle {
        code: "interrupted".to_owned(),
        detail: format!("{}: the interruption comes first", alert.notice),
        until: alert.due.map(|due| wall(due.wall_ms)),
        left_seconds: alert.due.map(|due| due.since(now).as_secs_f64()),
    })
}

/// The paths that matter: those that are asked.
fn watched(published: &Published) -> Vec<&PathWatch> {
    published.notices.paths.iter().filter(|path| path.state != WatchState::Off).collect()
}

/// The state of a path. One that says nothing any more is blind: the last good answer is no answer of now.
fn state(path: &PathWatch, now: Stamp) -> WatchState {
    let told = matches!(path.state, WatchState::NoNotice | WatchState::Notice);
    let patience = SILENCE + path.every * 3;
    if told && path.last_good.is_none_or(|at| now.since(at) > patience) {
        return WatchState::Blind;
    }
    path.state
}

fn monitor(path: &PathWatch, now: Stamp) -> wire::Monitor {
    let state = state(path, now);
    let silent = state == WatchState::Blind && path.state != WatchState::Blind;
    let since = if silent { path.last_good.unwrap_or(path.since) } else { path.since };
    wire::Monitor {
        name: path.name.to_owned(),
        path: path.path.to_owned(),
        every_seconds: path.every.as_secs_f64(),
        state: match state {
            WatchState::Pending => wire::WatchState::Pending,
            WatchState::Off => wire::WatchState::Off,
            WatchState::NoNotice => wire::WatchState::NoNotice,
            WatchState::Notice => wire::WatchState::Notice,
            WatchState::Blind => wire::WatchState::Blind,
        },
        since: moment(now, since),
        for_seconds: now.since(since).as_secs_f64(),
        last_good: path.last_good.map(|at| moment(now, at)),
        last_good_seconds: path.last_good.map(|at| now.since(at).as_secs_f64()),
        detail: if silent { "nothing was heard of it".to_owned() } else { path.detail.clone() },
    }
}

/// The notice that matters most: a real one before a drill, what runs hooks before what does not, then the earliest.
fn foremost(published: &Published) -> Option<&Alert> {
    let alerts = published.view.interruptions.alerts.iter();
    let alerts = alerts.filter(|alert| !alert.stale && !is_news_of_the_group(&alert.notice));
    alerts.min_by_key(|alert| {
        let due = alert.due.map_or(u64::MAX, |due| due.boot_ms);
        (alert.drill, alert.drain.is_none(), due)
    })
}

/// A target state that takes nothing down is no interruption.
fn is_news_of_the_group(notice: &Notice) -> bool {
    matches!(notice, Notice::AutoScaling { target } if !target.is_termination())
}

/// Whether the instance really goes down, and soon.
fn imminent(alert: &Alert, policy: &InterruptionPolicy, now: Stamp) -> bool {
    if alert.drill || alert.stale {
        return false;
    }
    match &alert.notice {
        Notice::Spot { .. } => true,
        Notice::Rebalance { .. } => false,
        Notice::AutoScaling { target } => target.is_termination(),
        Notice::Maintenance { code, .. } => {
            let near = |due: Stamp| due.since(now) <= policy.maintenance_lead;
            code.takes_it_down() && (alert.drain.is_some() || alert.due.is_some_and(near))
        }
    }
}

/// What a notice leads to by policy.
fn reaction(alert: &Alert, policy: &InterruptionPolicy) -> Reaction {
    match &alert.notice {
        Notice::Spot { .. } => Reaction::Drain,
        Notice::Rebalance { .. } => policy.rebalance,
        Notice::Maintenance { code, .. } if code.takes_it_down() => policy.maintenance,
        Notice::AutoScaling { target } if target.is_termination() => policy.autoscaling,
        Notice::Maintenance { .. } | Notice::AutoScaling { .. } => Reaction::Notify,
    }
}

fn notice(alert: &Alert, published: &Published, now: Stamp, reader: Reader) -> wire::Notice {
    let policy = &published.view.interruption;
    let drain_at = drain_at(alert, policy, now);
    let observing = published.view.mode == Mode::Observe && !alert.drill;
    let state = match &alert.drain {
        _ if alert.stale => NoticeState::Stale,
        Some(drain) if drain.ended.is_none() => NoticeState::Draining,
        Some(_) => NoticeState::Drained,
        None if alert.joined.is_some() => NoticeState::Joined,
        None if reaction(alert, policy) == Reaction::Notify => NoticeState::Notified,
        None if observing => NoticeState::Observing,
        None if drain_at.is_some() => NoticeState::Waiting,
        None => NoticeState::Notified,
    };
    let runs = alert.drain.iter().flat_map(|drain| &drain.runs);
    wire::Notice {
        id: alert.id.clone(),
        event: alert.notice.event().to_owned(),
        action: alert.notice.action().to_owned(),
        what: alert.notice.to_string(),
        // It may be of an earlier boot, so only the wall clock means anything.
        seen: wall(alert.seen.wall_ms),
        deadline: alert.due.map(|due| wall(due.wall_ms)),
        seconds_left: alert.due.map(|due| due.since(now).as_secs_f64()),
        drill: alert.drill,
        stale: alert.stale,
        joined: alert.joined.clone(),
        state,
        drain_at: drain_at.filter(|_| state == NoticeState::Waiting).map(|at| moment(now, at)),
        hooks: runs.map(|run| hook(run, reader)).collect(),
        drain_seconds: alert.drain.as_ref().and_then(|drain| {
            let ended = drain.ended?;
            // Only within one boot can the clock that never steps be used.
            let wall = u64::try_from(ended.wall_ms.saturating_sub(drain.since.wall_ms));
            let span = if ended.boot_ms >= drain.since.boot_ms {
                ended.since(drain.since)
            } else {
                Duration::from_millis(wall.unwrap_or(0))
            };
            Some(span.as_secs_f64())
        }),
        completed: alert.completed,
    }
}

/// When the hooks of a scheduled event begin, where that is still to come.
fn drain_at(alert: &Alert, policy: &InterruptionPolicy, now: Stamp) -> Option<Stamp> {
    let Notice::Maintenance { .. } = alert.notice else { return None };
    let at = alert.due?.before(policy.maintenance_lead);
    (at.boot_ms > now.boot_ms).then_some(at)
}

/// One hook, with its output for administrators only.
pub(super) fn hook(run: &HookRun, reader: Reader) -> wire::Hook {
    wire::Hook {
        hook: run.hook.clone(),
        state: match run.state {
            RunState::Waiting => wire::HookState::Waiting,
            RunState::Started => wire::HookState::Started,
            RunState::Done => wire::HookState::Done,
            RunState::Failed => wire::HookState::Failed,
            RunState::Lost => wire::HookState::Lost,
            RunState::Skipped => wire::HookState::Skipped,
        },
        started: run.started.map(|at| wall(at.wall_ms)),
        took_seconds: run.took_ms.map(|ms| Duration::from_millis(ms).as_secs_f64()),
        detail: Some(run.detail.clone())
            .filter(|detail| reader == Reader::Admin && !detail.is_empty()),
    }
}

fn over(past: &PastAlert, published: &Published, now: Stamp, reader: Reader) -> wire::PastNotice {
    let mut notice = notice(&past.alert, published, now, reader);
    // A deadline of an earlier boot says nothing on this boot's clock.
    notice.seconds_left = None;
    notice.drain_at = None;
    wire::PastNotice {
        notice,
        closed: wall(past.closed.wall_ms),
        end: match past.end {
            AlertEnd::StartedAgain => wire::EndWord::StartedAgain,
            AlertEnd::Resumed => wire::EndWord::Resumed,
            AlertEnd::NeverCame => wire::EndWord::NeverCame,
            AlertEnd::Withdrawn => wire::EndWord::Withdrawn,
            AlertEnd::Expired => wire::EndWord::Expired,
            AlertEnd::DrillOver => wire::EndWord::DrillOver,
        },
        because: past.end.as_str().to_owned(),
    }
}

fn plan(published: &Published) -> wire::Plan {
    let policy = &published.view.interruption;
    let word = |reaction| match reaction {
        Reaction::Notify => wire::ReactionWord::Notify,
        Reaction::Drain => wire::ReactionWord::Drain,
    };
    wire::Plan {
        enabled: policy.enabled,
        mode: convert::mode(published.view.mode),
        hooks: policy.hooks.clone(),
        fast_hooks: policy.fast_hooks.clone(),
        user: published.config.hook_user.clone().unwrap_or_else(|| "root".to_owned()),
        rebalance: word(policy.rebalance),
        rebalance_expires_seconds: policy.rebalance_expires.as_secs_f64(),
        rebalance_interval_seconds: policy.rebalance_interval.as_secs_f64(),
        maintenance: word(policy.maintenance),
        maintenance_lead_seconds: policy.maintenance_lead.as_secs_f64(),
        autoscaling: word(policy.autoscaling),
        autoscaling_drain_seconds: policy.autoscaling_drain.as_secs_f64(),
    }
}

#[cfg(test)]
mod tests;
