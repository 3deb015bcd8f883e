//! The engine's view in the words of the wire. Every match is exhaustive: what is new in the engine does not compile
//! until it has a word.

use agent_core::action::Power;
use agent_core::input::Ability;
use agent_core::policy::Mode;
use agent_core::stamp::Stamp;
use agent_core::verdict::{
    HoldView, Judgement, Obstacle, SignalView, SourceView, Stage, StretchView, Sum, UseView,
    UserView,
};
use agent_proto::status::{self as wire, AbilityWord, Status, Verdict};
use agent_proto::{Timestamp, limits};

use super::advice;
use super::event_line::wall;
use super::outlook::outlook;
use super::spot;
use crate::publish::Published;

/// Whether the signals of each source are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// `status`: one row a source.
    Sources,
    /// `why`: every signal.
    Signals,
}

/// The document of `status` or `why` at `now`.
pub fn status(published: &Published, now: Stamp, depth: Depth) -> Status {
    let view = &published.view;
    let schema = match depth {
        Depth::Sources => wire::STATUS_SCHEMA,
        Depth::Signals => wire::WHY_SCHEMA,
    };
    Status {
        schema: schema.to_owned(),
        now: wall(now.wall_ms),
        decided: moment(now, view.now),
        agent: wire::Agent {
            version: published.agent.version.clone(),
            pid: published.agent.pid,
            boot_id: published.agent.boot_id.clone(),
            started: moment(now, published.agent.started),
            up_seconds: age(now, published.agent.started),
        },
        instance: published.instance.as_ref().map(instance),
        imds: spot::imds(published, now),
        interruption: Some(spot::interruption(published, now)),
        config: wire::Config {
            files: published.config.files.clone(),
            problem: published.config.problem.clone(),
        },
        mode: mode(view.mode),
        profile: view.profile.clone(),
        stage: stage(view.stage),
        stage_since: moment(now, view.stage_since),
        because: view.because.clone(),
        idle: wire::Idle {
            since: view.idle_since.map(|at| moment(now, at)),
            idle_seconds: seconds(view.idle_ms),
            act_after_seconds: seconds(view.act_after_ms),
            stretch: view.stretch.as_ref().map(stretch),
            last_use: view.last_use.as_ref().map(|view| last_use(view, now)),
        },
        users: view.users.iter().map(|view| user(view, now)).collect(),
        outlook: outlook(published, now),
        sources: view.sources.iter().map(|view| source(view, now, depth)).collect(),
        blind: blind(&view.sources),
        uncounted: view.uncounted.iter().map(advice::uncounted).collect(),
        corrections: advice::corrections(published, depth),
        kept_up: advice::kept_up(published, now),
        accounts: advice::accounts(view),
        holds: view.holds.iter().map(|view| hold(view, now)).collect(),
        obstacles: obstacles(published, now),
        abilities: wire::Abilities {
            hibernate: ability(&view.abilities.hibernate),
            stop: ability(&view.abilities.stop),
        },
        last_action: view.last_action.as_ref().map(|last| wire::LastAction {
            power: power(last.power),
            // It may have been in an earlier boot, so only its wall clock means anything.
            at: wall(last.at.wall_ms),
            result: last.result.clone(),
            detail: last.detail.clone(),
            not_counted: last.not_counted.clone(),
        }),
    }
}

/// A moment of this boot by today's wall clock: a clock that was stepped in between moves it along, so that it agrees
/// with the caller's watch.
pub(super) fn moment(now: Stamp, at: Stamp) -> Timestamp {
    let ahead = i128::from(at.boot_ms) - i128::from(now.boot_ms);
    let ms = i128::from(now.wall_ms) + ahead;
    wall(i64::try_from(ms).unwrap_or(if ms < 0 { i64::MIN } else { i64::MAX }))
}

/// The word for an action.
pub fn power(power: Power) -> wire::Power {
    match power {
        Power::Hibernate => wire::Power::Hibernate,
        Power::Stop => wire::Power::Stop,
    }
}

/// The word for a mode.
pub(super) fn mode(mode: Mode) -> wire::Mode {
    match mode {
        Mode::Observe => wire::Mode::Observe,
        Mode::Enforce => wire::Mode::Enforce,
    }
}

fn stage(stage: Stage) -> wire::Stage {
    match stage {
        Stage::Grace => wire::Stage::Grace,
        Stage::Active => wire::Stage::Active,
        Stage::Settling => wire::Stage::Settling,
        Stage::Quiet => wire::Stage::Quiet,
        Stage::Warned => wire::Stage::Warned,
        Stage::Rechecking => wire::Stage::Rechecking,
        Stage::Draining => wire::Stage::Draining,
        Stage::Acting => wire::Stage::Acting,
        Stage::Verifying => wire::Stage::Verifying,
        Stage::WouldAct => wire::Stage::WouldAct,
        Stage::Refused => wire::Stage::Refused,
    }
}

fn verdict(judgement: Judgement) -> Verdict {
    match judgement {
        Judgement::Busy => Verdict::Busy,
        Judgement::Idle => Verdict::Idle,
        Judgement::Blocks => Verdict::Blocks,
        Judgement::Stretches => Verdict::Stretches,
        Judgement::Blind => Verdict::Blind,
        Judgement::Absent => Verdict::Absent,
        Judgement::Ignored => Verdict::Ignored,
        Judgement::Disabled => Verdict::Disabled,
    }
}

fn stretch(view: &StretchView) -> wire::Stretch {
    wire::Stretch {
        by: view.by.as_str().to_owned(),
        source: view.source.to_string(),
        subject: view.subject.clone(),
        owner: view.owner.clone(),
    }
}

fn last_use(view: &UseView, now: Stamp) -> wire::LastUse {
    wire::LastUse {
        source: view.source.to_string(),
        text: view.text.clone(),
        subject: view.cause.subject.clone(),
        owner: view.cause.owner.clone(),
        value: view.cause.value,
        limit: view.cause.limit,
        unit: view.unit.clone(),
        at: moment(now, view.at),
        age_seconds: age(now, view.at),
    }
}

fn user(view: &UserView, now: Stamp) -> wire::User {
    wire::User {
        user: view.user.clone(),
        last_activity_seconds: view.last_activity.map(|at| age(now, at)),
        keeps_up: view.keeps_up.clone(),
    }
}

fn ability(ability: &Ability) -> wire::Ability {
    match ability {
        Ability::Unknown => wire::Ability { can: AbilityWord::Unknown, code: None, detail: None },
        Ability::Can => wire::Ability { can: AbilityWord::Can, code: None, detail: None },
        Ability::Cannot(refusal) => wire::Ability {
            can: AbilityWord::Cannot,
            code: Some(refusal.code.clone()),
            detail: Some(refusal.detail.clone()),
        },
    }
}

fn instance(info: &crate::publish::InstanceInfo) -> wire::Instance {
    wire::Instance {
        instance_id: info.instance_id.clone(),
        instance_type: info.instance_type.clone(),
        region: info.region.clone(),
        availability_zone: info.availability_zone.clone(),
        life_cycle: info.life_cycle.clone(),
        name: info.name.clone(),
    }
}

fn source(view: &SourceView, now: Stamp, depth: Depth) -> wire::Source {
    let signals: Vec<wire::Signal> = match depth {
        Depth::Sources => Vec::new(),
        Depth::Signals => {
            view.signals.iter().take(limits::SIGNALS_SHOWN).map(|view| signal(view, now)).collect()
        }
    };
    let signals_left_out = match depth {
        Depth::Sources => 0,
        Depth::Signals => view.signals.len() - signals.len(),
    };
    // A value that was read before the source went blind must not be taken for the value of now.
    let known = view.judgement != Judgement::Blind;
    let cause = view.cause.clone().unwrap_or_default();
    wire::Source {
        source: view.source.as_str().to_owned(),
        verdict: verdict(view.judgement),
        value: cause.value.or(view.value).filter(|_| known),
        busy_above: (!view.unit.is_empty()).then_some(cause.limit.unwrap_or(view.limit)),
        unit: view.unit.clone(),
        together: cause.sum != Sum::One,
        weighed: cause.sum == Sum::Weighed,
        since: moment(now, view.since),
        for_seconds: age(now, view.since),
        last_activity: view.last_activity.map(|at| moment(now, at)),
        last_activity_seconds: view.last_activity.map(|at| age(now, at)),
        read_seconds: view.read_at.map(|at| age(now, at)),
        detail: view.detail.clone(),
        signals,
        signals_left_out,
    }
}

fn signal(view: &SignalView, now: Stamp) -> wire::Signal {
    wire::Signal {
        subject: view.subject.clone(),
        owner: view.owner.clone(),
        verdict: verdict(view.judgement),
        role: view.role.as_str().to_owned(),
        limit: view.limit,
        value: view.value,
        last_activity_seconds: view.last_activity.map(|at| age(now, at)),
    }
}

fn blind(sources: &[SourceView]) -> Vec<String> {
    let blind = sources.iter().filter(|source| source.judgement == Judgement::Blind);
    blind.map(|source| source.source.as_str().to_owned()).collect()
}

fn hold(view: &HoldView, now: Stamp) -> wire::Hold {
    wire::Hold {
        id: view.id,
        uid: view.uid,
        owner: view.owner.clone(),
        reason: view.reason.clone(),
        pid: view.pid,
        since: moment(now, view.since),
        until: moment(now, view.until),
        left_seconds: view.until.since(now).as_secs_f64(),
    }
}

/// Everything that stands in the way, and first of all an interruption.
fn obstacles(published: &Published, now: Stamp) -> Vec<wire::Obstacle> {
    let others = published.view.obstacles.iter().map(|view| obstacle(view, now));
    spot::obstacle(published, now).into_iter().chain(others).collect()
}

fn obstacle(view: &Obstacle, now: Stamp) -> wire::Obstacle {
    wire::Obstacle {
        code: view.code.clone(),
        detail: view.detail.clone(),
        until: view.until.map(|at| moment(now, at)),
        left_seconds: view.until.map(|at| at.since(now).as_secs_f64()),
    }
}

fn age(now: Stamp, at: Stamp) -> f64 {
    now.since(at).as_secs_f64()
}

fn seconds(ms: u64) -> f64 {
    core::time::Duration::from_millis(ms).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::publish::tests::{NOW, ago, ahead, quiet, source as judged};

    #[test]
    fn a_step_of_the_wall_clock_does_not_move_what_happened_relative_to_now() {
        let mut now = ahead(60);
        now.wall_ms += 3_600_000;
        let seen = status(&quiet(), now, Depth::Sources);
        assert_eq!(seen.now.to_string(), "2026-01-02T13:01:00Z");
        assert_eq!(seen.decided.to_string(), "2026-01-02T13:00:00Z");
        assert!((seen.agent.up_seconds - 7_260.0).abs() < f64::EPSILON);
        assert_eq!(seen.outlook.at.unwrap().to_string(), "2026-01-02T13:12:00Z");
    }

    #[test]
    fn the_words_of_the_wire_are_those_of_the_engine() {
        for (ours, theirs) in [
            (Stage::Grace, "grace"),
            (Stage::WouldAct, "would-act"),
            (Stage::Verifying, "verifying"),
        ] {
            assert_eq!(stage(ours).as_str(), theirs);
            assert_eq!(stage(ours).as_str(), ours.as_str());
        }
        assert_eq!(power(Power::Stop).as_str(), Power::Stop.verb());
        assert_eq!(verdict(Judgement::Blind), Verdict::Blind);
    }

    /// The document of a machine of which everything is said, as committed. A difference is a change of the contract:
    /// a new field is fine, any other change needs a new version in `schema`.
    #[test]
    fn the_document_is_the_one_that_was_promised() {
        let mut published = quiet();
        published.view.holds = vec![HoldView {
            id: 3,
            uid: 1001,
            owner: "bob".into(),
            reason: "nightly eval".into(),
            pid: Some(5_120),
            since: ago(60),
            until: ahead(5_400),
        }];
        published.view.obstacles = vec![Obstacle {
            code: "hold".into(),
            detail: "hold 3 of bob".into(),
            until: Some(ahead(5_400)),
        }];
        published.view.last_action = Some(agent_core::verdict::LastAction {
            power: Power::Stop,
            at: ago(9_000),
            result: "called-off".into(),
            detail: "input".into(),
            not_counted: None,
        });
        let mut text =
            serde_json::to_string_pretty(&status(&published, NOW, Depth::Signals)).unwrap();
        text.push('\n');
        assert_eq!(text, include_str!("why-v1.json"), "{text}");
    }

    #[test]
    fn a_blind_source_is_listed_and_shows_no_old_value() {
        let mut published = quiet();
        published.view.sources.push(judged("gpu", Judgement::Blind, Some(0.0), 5.0, "%"));
        let seen = status(&published, NOW, Depth::Sources);
        assert_eq!(seen.blind, ["gpu"]);
        let gpu = seen.sources.iter().find(|source| source.source == "gpu").unwrap();
        assert_eq!((gpu.value, gpu.verdict), (None, Verdict::Blind));
    }

    #[test]
    fn status_lists_sources_and_why_lists_every_signal_up_to_a_limit() {
        let mut published = quiet();
        let one = published.view.sources[0].signals[0].clone();
        published.view.sources[0].signals = vec![one; limits::SIGNALS_SHOWN + 30];
        let short = status(&published, NOW, Depth::Sources);
        assert!(short.sources.iter().all(|source| source.signals.is_empty()));
        assert_eq!(short.schema, "agentd/status/v1");
        let long = status(&published, NOW, Depth::Signals);
        assert_eq!(long.schema, "agentd/why/v1");
        assert_eq!(long.sources[0].signals.len(), limits::SIGNALS_SHOWN);
        assert_eq!(long.sources[0].signals_left_out, 30);
        assert_eq!(long.sources[1].signals[0].owner.as_deref(), Some("alice"));
    }

    #[test]
    fn absurd_stamps_become_the_ends_of_the_calendar() {
        let far = Stamp::new(u64::MAX, 0, i64::MAX);
        assert_eq!(moment(NOW, far), Timestamp::MAX);
        let published = quiet();
        let seen = status(&published, far, Depth::Signals);
        assert_eq!(seen.now, Timestamp::MAX);
        serde_json::to_string(&seen).unwrap();
    }

    #[test]
    fn the_last_action_keeps_its_own_clock() {
        let mut published = quiet();
        published.view.last_action = Some(agent_core::verdict::LastAction {
            power: Power::Hibernate,
            at: Stamp::new(90_000_000, 0, 1_767_300_000_000),
            result: "hibernated".into(),
            detail: "slept for 8 h".into(),
            not_counted: Some("postgresql 0.03 of 0.12 core".into()),
        });
        let last = status(&published, NOW, Depth::Sources).last_action.unwrap();
        assert_eq!(last.at.to_string(), "2026-01-01T20:40:00Z");
    }

    #[test]
    fn any_use_counts_where_there_is_no_unit() {
        let seen = status(&quiet(), NOW, Depth::Sources);
        assert_eq!(seen.sources[0].busy_above, Some(0.05));
        assert_eq!(seen.sources[1].busy_above, None);
        assert!((seen.sources[1].last_activity_seconds.unwrap() - 1_320.0).abs() < f64::EPSILON);
        assert_eq!(seen.sources[1].since, moment(NOW, ago(1_320)));
    }
}
