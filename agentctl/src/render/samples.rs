//! Documents for the tests of the screens.

use agent_proto::Timestamp;
use agent_proto::spot::{
    Hook, HookState, Interruption, InterruptionState, Monitor, Notice, NoticeState, Plan,
    ReactionWord, SPOT_SCHEMA, Spot, WatchState,
};
use agent_proto::status::*;
use jiff::tz::{TimeZone, offset};

use super::Look;
use super::style::Style;

/// No colour, four hours behind UTC.
pub(crate) fn look() -> Look {
    Look { style: Style::Plain, zone: TimeZone::fixed(offset(-4)) }
}

/// The moment of every sample.
pub(crate) fn now() -> Timestamp {
    "2026-01-02T18:30:00Z".parse().unwrap()
}

/// A moment relative to it.
pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(now().as_second() + seconds).unwrap()
}

/// A source, judged so for 22 minutes.
pub(crate) fn source(
    name: &str,
    verdict: Verdict,
    value: Option<f64>,
    busy_above: Option<f64>,
    unit: &str,
) -> Source {
    Source {
        source: name.into(),
        verdict,
        value,
        busy_above,
        unit: unit.into(),
        together: false,
        weighed: false,
        since: at(-1_320),
        for_seconds: 1_320.0,
        last_activity: Some(at(-1_320)),
        last_activity_seconds: Some(1_320.0),
        read_seconds: Some(3.0),
        detail: None,
        signals: vec![],
        signals_left_out: 0,
    }
}

/// A signal.
pub(crate) fn signal(
    subject: &str,
    verdict: Verdict,
    value: Option<f64>,
    owner: Option<&str>,
) -> Signal {
    Signal {
        subject: subject.into(),
        owner: owner.map(str::to_owned),
        verdict,
        role: if verdict == Verdict::Ignored { "ignored" } else { "workload" }.into(),
        limit: None,
        value,
        last_activity_seconds: (verdict == Verdict::Idle).then_some(1_320.0),
    }
}

/// Idle for 18 of 30 minutes.
pub(crate) fn quiet() -> Status {
    let can = || Ability { can: AbilityWord::Can, code: None, detail: None };
    Status {
        schema: STATUS_SCHEMA.into(),
        now: now(),
        decided: at(-2),
        agent: agent(),
        instance: Some(instance()),
        imds: Imds {
            ok: true,
            detail: "answers".into(),
            last_good: Some(at(-1)),
            state: Some(ImdsState::Ok),
        },
        interruption: Some(interruption(InterruptionState::None)),
        config: Config { files: vec!["/etc/agentd/agentd.toml".into()], problem: None },
        mode: Mode::Enforce,
        profile: "research".into(),
        stage: Stage::Quiet,
        stage_since: at(-780),
        because: "nothing has used it for 18 min".into(),
        idle: Idle {
            since: Some(at(-1_080)),
            idle_seconds: 1_080.0,
            act_after_seconds: 1_800.0,
            stretch: None,
            last_use: None,
        },
        outlook: Outlook {
            prospect: Prospect::WillAct,
            power: Some(Power::Hibernate),
            at: Some(at(720)),
            in_seconds: Some(720.0),
            warn_at: vec![at(120), at(420)],
            because: "nothing has used it for 18 min".into(),
            remedy: Some("agentctl hold 2h".into()),
        },
        sources: vec![
            source("cpu", Verdict::Idle, Some(0.012), Some(0.05), "core"),
            source("input", Verdict::Idle, None, None, ""),
            source("network", Verdict::Idle, Some(1_200.0), Some(2_000.0), "B/s"),
            Source {
                last_activity: None,
                last_activity_seconds: None,
                ..source("gpu", Verdict::Absent, None, Some(5.0), "%")
            },
        ],
        blind: vec![],
        users: Vec::new(),
        uncounted: vec![
            uncounted("postgresql", "server", 0.03, 0.12),
            uncounted("amazon-ssm-agent", "upkeep", 0.02, 0.15),
        ],
        corrections: vec![],
        kept_up: None,
        accounts: vec![],
        holds: vec![],
        obstacles: vec![],
        abilities: Abilities { hibernate: can(), stop: can() },
        last_action: None,
    }
}

/// Nothing is announced, and this is the state of knowing it.
pub(crate) fn interruption(state: InterruptionState) -> Interruption {
    Interruption {
        state,
        what: None,
        event: None,
        action: None,
        deadline: None,
        seconds_left: None,
        drill: false,
        imminent: false,
        blind: vec![],
        blind_since: None,
        last_good: Some(at(-1)),
    }
}

fn agent() -> Agent {
    Agent {
        version: "0.1.0".into(),
        pid: 612,
        boot_id: "6f1c1b1e-0000-4000-8000-000000000001".into(),
        started: at(-7_200),
        up_seconds: 7_200.0,
    }
}

fn instance() -> Instance {
    Instance {
        instance_id: "i-0abc12345678def90".into(),
        instance_type: "g5.2xlarge".into(),
        region: "us-east-1".into(),
        availability_zone: "us-east-1a".into(),
        life_cycle: "on-demand".into(),
        name: Some("alice-train".into()),
    }
}

/// The same machine with an outlook.
pub(crate) fn with(
    prospect: Prospect,
    stage: Stage,
    because: &str,
    remedy: Option<&str>,
) -> Status {
    let mut status = quiet();
    status.stage = stage;
    status.outlook = Outlook {
        prospect,
        power: Some(Power::Hibernate),
        at: None,
        in_seconds: None,
        warn_at: vec![],
        because: because.into(),
        remedy: remedy.map(str::to_owned),
    };
    status
}

/// A hold for another 1 h 30 min.
pub(crate) fn hold(id: u64) -> Hold {
    Hold {
        id,
        uid: 1001,
        owner: "bob".into(),
        reason: "nightly eval".into(),
        pid: Some(5_120),
        since: at(-60),
        until: at(5_400),
        left_seconds: 5_400.0,
    }
}

/// The quiet machine with every signal.
pub(crate) fn why() -> Status {
    let mut status = quiet();
    status.schema = WHY_SCHEMA.into();
    let of = |role: &str, limit, signal| Signal { role: role.into(), limit, ..signal };
    let unit = |name: &str, verdict, value| {
        signal(&format!("system.slice/{name}"), verdict, Some(value), Some("root"))
    };
    let account =
        signal("account of CPU time", Verdict::Ignored, Some(0.0), Some("kept by /proc/schedstat"));
    let session = signal(
        "user.slice/user-1000.slice/session-3.scope",
        Verdict::Idle,
        Some(0.010),
        Some("alice"),
    );
    status.sources[0].signals = vec![
        of("upkeep", Some(0.15), unit("apt-daily.service", Verdict::Idle, 0.08)),
        signal("helpers of an editor", Verdict::Ignored, Some(0.06), Some("alice")),
        of("server", Some(0.12), unit("postgresql.service", Verdict::Idle, 0.03)),
        of("workload", Some(0.05), session),
        account,
    ];
    status.sources[1].signals = vec![signal("pts/0", Verdict::Idle, None, Some("alice"))];
    status.uncounted = vec![
        uncounted("apt-daily", "upkeep", 0.08, 0.15),
        uncounted("postgresql", "server", 0.03, 0.12),
    ];
    status.corrections = vec![Correction {
        source: "cpu".into(),
        subject: "system.slice/apt-daily.service".into(),
        about: "apt-daily.service does not count (cpu 0.08 core; people's work counts from 0.05 core on)".into(),
        lines: vec![ConfigLine {
            when: "if it is work".into(),
            line: "source.cpu.units = [\"apt-daily.service\"]".into(),
        }],
    }];
    status
}

/// A unit that runs and is not counted.
pub(crate) fn uncounted(name: &str, role: &str, value: f64, limit: f64) -> Uncounted {
    Uncounted {
        source: "cpu".into(),
        subject: format!("system.slice/{name}.service"),
        name: name.into(),
        owner: None,
        role: role.into(),
        value,
        limit: Some(limit),
        unit: "core".into(),
    }
}

/// A spot instance to which nothing is announced.
pub(crate) fn spot() -> Spot {
    let monitor = |name: &str, path: &str, every_seconds| Monitor {
        name: name.into(),
        path: path.into(),
        every_seconds,
        state: WatchState::NoNotice,
        since: at(-7_000),
        for_seconds: 7_000.0,
        last_good: Some(at(-1)),
        last_good_seconds: Some(1.0),
        detail: "404".into(),
    };
    Spot {
        schema: SPOT_SCHEMA.into(),
        now: now(),
        life_cycle: "spot".into(),
        interruption: interruption(InterruptionState::None),
        monitors: vec![
            monitor("spot", "meta-data/spot/instance-action", 2.0),
            monitor("rebalance", "meta-data/events/recommendations/rebalance", 5.0),
            monitor("maintenance", "meta-data/events/maintenance/scheduled", 60.0),
            monitor("autoscaling", "meta-data/autoscaling/target-lifecycle-state", 5.0),
        ],
        notices: vec![],
        target_lifecycle_state: None,
        standby: false,
        plan: Plan {
            enabled: true,
            mode: Mode::Enforce,
            hooks: vec!["/opt/drain".into(), "stop worker.service".into(), "save.service".into()],
            fast_hooks: vec!["/opt/sync".into()],
            user: "alice".into(),
            rebalance: ReactionWord::Notify,
            rebalance_expires_seconds: 3_600.0,
            rebalance_interval_seconds: 3_600.0,
            maintenance: ReactionWord::Drain,
            maintenance_lead_seconds: 600.0,
            autoscaling: ReactionWord::Drain,
            autoscaling_drain_seconds: 600.0,
        },
        last: vec![],
        output_hidden: true,
    }
}

/// A termination in 1 min 43 s.
pub(crate) fn terminates(state: InterruptionState) -> Interruption {
    Interruption {
        what: Some("spot interruption (terminate)".into()),
        event: Some("spot-interruption".into()),
        action: Some("terminate".into()),
        deadline: Some(at(103)),
        seconds_left: Some(103.0),
        imminent: true,
        ..interruption(state)
    }
}

/// The same with its notice.
pub(crate) fn noticed(state: InterruptionState, reaction: NoticeState) -> Spot {
    let mut spot = spot();
    spot.interruption = terminates(state);
    spot.monitors[0].state = WatchState::Notice;
    spot.monitors[0].for_seconds = 17.0;
    spot.notices = vec![Notice {
        id: "spot-terminate".into(),
        event: "spot-interruption".into(),
        action: "terminate".into(),
        what: "spot interruption (terminate)".into(),
        seen: at(-17),
        deadline: Some(at(103)),
        seconds_left: Some(103.0),
        drill: false,
        stale: false,
        joined: None,
        state: reaction,
        drain_at: None,
        hooks: vec![],
        drain_seconds: None,
        completed: false,
    }];
    spot
}

/// The same while the second of three hooks runs.
pub(crate) fn draining() -> Spot {
    let mut spot = noticed(InterruptionState::Draining, NoticeState::Draining);
    spot.notices[0].hooks = vec![
        hook("/opt/drain", HookState::Done, Some(3.2), None),
        hook("stop worker.service", HookState::Started, None, None),
        hook("save.service", HookState::Waiting, None, None),
    ];
    spot
}

/// A hook.
pub(crate) fn hook(
    name: &str,
    state: HookState,
    took_seconds: Option<f64>,
    detail: Option<&str>,
) -> Hook {
    Hook {
        hook: name.into(),
        state,
        started: (state != HookState::Waiting).then(|| at(-16)),
        took_seconds,
        detail: detail.map(str::to_owned),
    }
}
