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
        about: "What is done before AWS takes a spot instance away. This version checks these keys and does not act on \
                them yet.",
    },
    SectionSpec {
        name: "recorder",
        about: "What is kept of the readings, for 'agentctl simulate' and bug reports.",
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
        "The same while a job runs in the foreground of somebody's terminal. \"auto\" is eight times idle.act_after, at \
         most four hours.",
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
         AGENTD_ACTION, AGENTD_SECONDS_LEFT, AGENTD_AT and AGENTD_BECAUSE. Or a systemd unit that is started with \
         every warning. Empty for none.",
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
        "How long pre_stop may take before it is ended and the action goes on.",
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
        "Whether a coming spot interruption or scheduled event is acted on.",
    ),
    key(
        "interruption.hooks",
        Kind::Commands,
        "[]",
        "Programs (absolute paths, owned by root) or systemd units that are run in order when an interruption is \
         announced.",
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
