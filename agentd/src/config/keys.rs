//! The table of keys: name, kind with bounds, default, meaning. Defaults, validation, `config explain`, `config show`
//! and the commented default file all come from this one table.

use core::time::Duration;

use super::value::Kind;

/// A value of a key that is legal and unsafe for production.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caution {
    /// Shorter than this is warned about.
    pub least: Duration,
    /// What can happen then.
    pub because: &'static str,
}

/// A key of the configuration.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KeySpec {
    /// The key with its section: `idle.act_after`.
    pub name: &'static str,
    /// The kind of its value.
    pub kind: Kind,
    /// Its default as TOML.
    pub default: &'static str,
    /// What it means, in sentences.
    pub about: &'static str,
    /// What is unsafe for production.
    pub caution: Option<Caution>,
}

/// A section of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SectionSpec {
    /// Its name.
    pub name: &'static str,
    /// What it is about.
    pub about: &'static str,
}

/// The sections in the order in which they are shown; those of the sources follow.
pub const SECTIONS: &[SectionSpec] = &[
    SectionSpec { name: "idle", about: "What is done with a machine that nobody uses, and when." },
    SectionSpec { name: "hold", about: "Who may keep the machine up for how long." },
    SectionSpec { name: "sampling", about: "How often the machine is looked at." },
    SectionSpec {
        name: "interruption",
        about: "What is done when EC2 announces that it takes the instance: spot interruptions, rebalance \
                recommendations, scheduled events, terminations by an Auto Scaling group.",
    },
    SectionSpec {
        name: "notify",
        about: "Who is told of interruptions, beside the people who are logged in.",
    },
    SectionSpec {
        name: "recorder",
        about: "What is kept of the readings, for 'agentctl simulate' and bug reports.",
    },
    SectionSpec {
        name: "upkeep",
        about: "What keeps this machine rather than working on it. Most of it is known: systemd's own services, daemons of ssh, \
                cron and containers, agents of management, monitoring and security.",
    },
    SectionSpec { name: "tags", about: "The tags that tell others what agentd sees." },
];

const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

const fn minutes(count: u64) -> Duration {
    Duration::from_secs(count * 60)
}

const fn hours(count: u64) -> Duration {
    Duration::from_secs(count * 3_600)
}

/// Nothing about idleness is longer than this: what is never to happen is switched off instead.
pub(super) const LONGEST: Duration = hours(30 * 24);

/// The shortest time between two looks: below it agentd itself would be the load.
pub(super) const SHORTEST_INTERVAL: Duration = Duration::from_millis(100);

/// The longest time between two looks.
pub(super) const LONGEST_INTERVAL: Duration = minutes(5);

/// Names of the profiles; [`super::profile::PROFILES`] has their presets.
pub(super) const PROFILE_NAMES: &[&str] =
    &["research", "ml-training", "desktop", "batch", "notebook", "ci-runner", "service", "sandbox"];

const fn key(
    name: &'static str,
    kind: Kind,
    default: &'static str,
    about: &'static str,
) -> KeySpec {
    KeySpec { name, kind, default, about, caution: None }
}

const fn span(least: Duration, most: Duration) -> Kind {
    Kind::Span { least, most }
}

impl KeySpec {
    const fn unsafe_below(mut self, least: Duration, because: &'static str) -> Self {
        self.caution = Some(Caution { least, because });
        self
    }
}

/// Every key that is not of a source.
pub const KEYS: &[KeySpec] = &[
    key(
        "mode",
        Kind::Choice(&["observe", "enforce"]),
        "\"observe\"",
        "Whether agentd acts. \"observe\" decides and reports only, \"enforce\" warns, tags, and hibernates or stops \
         this instance.",
    ),
    key(
        "profile",
        Kind::Choice(PROFILE_NAMES),
        "\"research\"",
        "A set of presets for a kind of machine. Any key that is set overrides its preset.",
    ),
    key(
        "idle.enabled",
        Kind::Switch,
        "true",
        "Whether idleness leads to an action at all. When false it is still measured and shown.",
    ),
    key(
        "idle.quiet_after",
        span(SHORTEST_INTERVAL, LONGEST),
        "\"5m\"",
        "After this long without use the machine is shown and tagged as quiet.",
    ),
    key(
        "idle.act_after",
        span(seconds(1), LONGEST),
        "\"30m\"",
        "After this long without use agentd acts.",
    )
    .unsafe_below(minutes(5), "somebody who reads or thinks for a moment loses the machine"),
    key(
        "idle.connected_after",
        Kind::SpanOrAuto { least: seconds(1), most: LONGEST },
        "\"auto\"",
        "The same while somebody is connected and does nothing: a shell at its prompt, a tunnel, an editor. \"auto\" is \
         twice idle.act_after.",
    ),
    key(
        "idle.job_after",
        Kind::SpanOrAuto { least: seconds(1), most: LONGEST },
        "\"auto\"",
        "The same while a job runs in the foreground of somebody's terminal, or was left running without one (nohup, setsid, \
         systemd-run, user-data, cron). \"auto\" is eight times idle.act_after, at most four hours.",
    ),
    key(
        "idle.least_run",
        Kind::SpanOrAuto { least: Duration::ZERO, most: hours(24) },
        "\"auto\"",
        "No action this soon after the machine came back from a stop of agentd's own. \"auto\" is thirty minutes, and no \
         more than idle.act_after if that is below five minutes.",
    ),
    key(
        "idle.action",
        Kind::Choice(&["hibernate", "stop", "none"]),
        "\"hibernate\"",
        "What is done: \"hibernate\" keeps the memory, \"stop\" loses it, \"none\" only reports.",
    ),
    key(
        "idle.fallback",
        Kind::Choice(&["stop", "none"]),
        "\"stop\"",
        "What is done when hibernation is impossible on this instance: \"stop\" stops it, \"none\" leaves it running.",
    ),
    key(
        "idle.autoscaling",
        Kind::Choice(&["refuse", "standby"]),
        "\"refuse\"",
        "What is done when this instance is a member of an Auto Scaling group, which would replace it. \"refuse\" \
         leaves it running and says so; \"standby\" puts it on standby first (EnterStandby, with a lower desired \
         capacity) and back into service when it is started again.",
    ),
    key(
        "idle.instance_store",
        Kind::Choice(&["refuse", "allow"]),
        "\"refuse\"",
        "What is done while an instance-store volume is mounted, whose data a stop and a hibernation destroy. \"refuse\" \
         leaves the instance running and says so; \"allow\" means that nothing on it is worth keeping.",
    ),
    key(
        "idle.warn_before",
        Kind::Spans { least: Duration::from_millis(500), most: hours(24), count: 8 },
        "[\"10m\", \"5m\", \"1m\"]",
        "How long before the action the people who are logged in are warned. Where a person was seen since boot, the \
         first warning comes at least two minutes before, whatever this says; only an idle.act_after of less than 5m \
         leaves it at this.",
    ),
    key(
        "idle.warn_command",
        Kind::Command,
        "\"\"",
        "A program (absolute path, owned by root, run without a shell and without arguments) that is run with every \
         warning and when it is called off, for at most ten seconds; it reads AGENTD_EVENT (warned, called-off), \
         AGENTD_ACTION, AGENTD_SECONDS_LEFT, AGENTD_AT, AGENTD_BECAUSE and AGENTD_NOT_COUNTED (what ran and did not \
         count as use). Or a systemd unit that is started with every warning. Empty for none.",
    ),
    key(
        "idle.boot_grace",
        span(Duration::ZERO, hours(24)),
        "\"15m\"",
        "No action this soon after boot.",
    )
    .unsafe_below(minutes(5), "the machine can stop before its installation or its user arrives"),
    key(
        "idle.resume_grace",
        span(Duration::ZERO, hours(24)),
        "\"15m\"",
        "No action this soon after the machine was resumed from hibernation.",
    )
    .unsafe_below(minutes(5), "the machine can stop again before its user has logged in"),
    key(
        "idle.pre_stop",
        Kind::Command,
        "\"\"",
        "A program (absolute path, owned by root, run without a shell and without arguments) or a systemd unit that \
         is run before the machine is hibernated or stopped. Empty for none.",
    ),
    key(
        "idle.pre_stop_timeout",
        span(seconds(1), hours(1)),
        "\"90s\"",
        "How long pre_stop may take. Then it is ended, and the action is called off, as it is when pre_stop fails.",
    ),
    key(
        "idle.pre_stop_user",
        Kind::User,
        "\"\"",
        "The user that a pre_stop program runs as. Empty for root.",
    ),
    key(
        "idle.verify_after",
        span(seconds(1), hours(24)),
        "\"10m\"",
        "How long after EC2 accepted the action the machine may still run before it is reported as never stopped.",
    )
    .unsafe_below(minutes(2), "a large memory takes minutes to be hibernated"),
    key(
        "hold.user_max",
        span(Duration::ZERO, LONGEST),
        "\"2h\"",
        "The longest hold (agentctl hold) of an ordinary user. \"0s\" leaves holds to administrators.",
    ),
    key(
        "hold.admin_max",
        span(seconds(1), LONGEST),
        "\"72h\"",
        "The longest hold of an administrator (root or a member of the group agentd).",
    ),
    key(
        "sampling.interval",
        Kind::SpanOrAuto { least: SHORTEST_INTERVAL, most: LONGEST_INTERVAL },
        "\"auto\"",
        "How often every source is read. \"auto\" is a sixtieth of idle.act_after, between half a second and ten \
         seconds.",
    ),
    key(
        "interruption.enabled",
        Kind::Switch,
        "true",
        "Whether interruptions are watched for and acted on.",
    ),
    key(
        "interruption.hooks",
        Kind::Hooks,
        "[]",
        "What runs, in this order, when an interruption is announced: programs (absolute paths, owned by root, run \
         without a shell and without arguments) and systemd units (\"save.service\" or \"start save.service\" starts \
         one, \"stop worker.service\" stops one). They read AGENTD_EVENT, AGENTD_ACTION, AGENTD_DEADLINE, \
         AGENTD_SECONDS_LEFT, and AGENTD_DRILL=1 in a drill. Twenty seconds before the deadline they are told to end, \
         ten seconds before it they are killed.",
    ),
    key(
        "interruption.fast_hooks",
        Kind::Hooks,
        "[]",
        "What runs instead when EC2 hibernates the instance, which begins at once: two seconds for all of them.",
    ),
    key(
        "interruption.user",
        Kind::User,
        "\"\"",
        "The user that the programs among the hooks run as. Empty for root.",
    ),
    key(
        "interruption.rebalance",
        Kind::Choice(&["notify", "drain"]),
        "\"notify\"",
        "What a rebalance recommendation leads to. Most are not followed by an interruption, so \"drain\", which runs \
         the hooks, interrupts work that could have gone on.",
    ),
    key(
        "interruption.rebalance_expires",
        span(minutes(1), hours(24)),
        "\"1h\"",
        "A rebalance recommendation is shown for this long. Units that its drain stopped are started again then.",
    ),
    key(
        "interruption.rebalance_interval",
        span(minutes(1), hours(24)),
        "\"1h\"",
        "Rebalance recommendations lead to at most one drain in this long.",
    ),
    key(
        "interruption.maintenance",
        Kind::Choice(&["notify", "drain"]),
        "\"drain\"",
        "What a scheduled event that takes the instance down leads to. Events that it survives are only told.",
    ),
    key(
        "interruption.maintenance_lead",
        span(minutes(1), hours(24)),
        "\"10m\"",
        "The drain begins this long before the beginning of the event's window, never earlier.",
    ),
    key(
        "interruption.autoscaling",
        Kind::Choice(&["notify", "drain"]),
        "\"drain\"",
        "What a termination by the Auto Scaling group leads to: \"drain\" runs the hooks and then completes the \
         group's lifecycle action, where the group has one.",
    ),
    key(
        "interruption.autoscaling_drain",
        span(seconds(10), hours(24)),
        "\"10m\"",
        "The hooks may take this long before a termination by the Auto Scaling group.",
    ),
    key(
        "notify.webhook",
        Kind::Webhook,
        "\"\"",
        "A URL that is sent a JSON document by POST, once and for at most two seconds, whenever an interruption is \
         announced, drained or over. Plain http is for this machine alone. Empty for none.",
    ),
    key(
        "notify.sns_topic",
        Kind::SnsTopic,
        "\"\"",
        "The ARN of an SNS topic that the same document is published to. Empty for none.",
    ),
    key(
        "notify.command",
        Kind::Command,
        "\"\"",
        "A program (absolute path, owned by root) that is run at the same moments and reads the document on its \
         standard input, for at most ten seconds; or a systemd unit that is started. Empty for none.",
    ),
    key(
        "recorder.enabled",
        Kind::Switch,
        "true",
        "Whether the readings are recorded, for root alone, so that 'agentctl simulate' can tell what another \
         configuration would have done.",
    ),
    key(
        "recorder.max_age",
        span(hours(1), hours(366 * 24)),
        "\"14d\"",
        "Readings older than this are removed.",
    ),
    key(
        "recorder.max_size",
        Kind::Size { least: 1 << 20, most: 1 << 30 },
        "\"16MiB\"",
        "The recording takes no more space than this; the oldest readings are removed.",
    ),
    key(
        "upkeep.units",
        Kind::Units,
        "[]",
        "Further units that keep the machine. What one of them uses does not count up to a ceiling (upkeep_above of each \
         source), and as a server's above it.",
    ),
    key(
        "tags.enabled",
        Kind::Switch,
        "true",
        "Whether tags of this instance tell its state. They are written on change and in enforce mode only, and \
         never read back for a decision.",
    ),
    key(
        "tags.prefix",
        Kind::TagPrefix,
        "\"agentd:\"",
        "The beginning of every tag key that agentd writes.",
    ),
    key(
        "tags.compat",
        Kind::Choices(&["cloudworkstation"]),
        "[]",
        "Further tags for tools that know others' names. \"cloudworkstation\" adds CloudWorkstation:IdleStatus, \
         :IdleSince and :IdleAction.",
    ),
    key(
        "tags.interval",
        span(seconds(1), hours(1)),
        "\"60s\"",
        "Tags are written at most once in this long. Unless it is set, it is shortened to a tenth of a short \
         idle.act_after.",
    ),
];

/// How often a source is read, `source.NAME.interval`.
pub(super) const INTERVAL_KIND: Kind =
    Kind::SpanOrAuto { least: SHORTEST_INTERVAL, most: LONGEST_INTERVAL };
