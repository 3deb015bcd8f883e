//! The configuration as the rest of agentd uses it: domain types, nothing that would still have to be checked.

use core::fmt;
use core::time::Duration;
use std::collections::BTreeMap;
use std::path::PathBuf;

use agent_core::action::Power;
use agent_core::interruption::{InterruptionPolicy, Reaction};
use agent_core::policy::{
    HoldPolicy, IdlePolicy, Limits, Mode, Policy, RoleLimits, SourcePolicy, TagPolicy,
};
use agent_core::reading::SourceName;

use super::duration;
use super::effective::{Effective, Lacking};
use super::schema::{Schema, SourceKnown};

/// The validated configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// What the engine decides by.
    pub policy: Policy,
    /// Every source's own keys by the source's name, complete with defaults; durations are text for
    /// [`duration::parse`].
    pub sources: BTreeMap<String, toml::Table>,
    /// How tags are written.
    pub tags: TagSettings,
    /// The pre-stop hook.
    pub hook: Option<HookSettings>,
    /// What is run with warnings and call-offs.
    pub warn_command: Option<HookCommand>,
    /// The instance may be stopped while an instance-store volume is mounted.
    pub instance_store: bool,
    /// What is done at an interruption.
    pub interruption: InterruptionSettings,
    /// Who is told of interruptions.
    pub notify: NotifySettings,
    /// What is recorded.
    pub recorder: RecorderSettings,
    /// How often sources are read that do not say otherwise.
    pub sampling: Duration,
}

/// `[recorder]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecorderSettings {
    /// Whether readings are recorded.
    pub enabled: bool,
    /// For how long they are kept.
    pub max_age: Duration,
    /// How many bytes they may take.
    pub max_size: u64,
}

/// `[tags]`, what the engine does not need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagSettings {
    /// The beginning of every tag key.
    pub prefix: String,
    /// Further schemas of tags.
    pub compat: Vec<TagCompat>,
}

/// A schema of tags that another tool knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TagCompat {
    /// `CloudWorkstation:IdleStatus`, `:IdleSince`, `:IdleAction`.
    CloudWorkstation,
}

impl TagCompat {
    /// The word in `tags.compat`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CloudWorkstation => "cloudworkstation",
        }
    }
}

/// The pre-stop hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookSettings {
    /// What is run.
    pub command: HookCommand,
    /// How long it may take.
    pub timeout: Duration,
    /// Who runs it; none is root. Always none for a unit.
    pub user: Option<String>,
}

/// What a hook runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HookCommand {
    /// A program by absolute path, without arguments.
    Program(PathBuf),
    /// A systemd unit.
    Unit(String),
}

impl From<&str> for HookCommand {
    /// From a text that was checked: a path begins with a slash.
    fn from(text: &str) -> Self {
        if text.starts_with('/') {
            Self::Program(PathBuf::from(text))
        } else {
            Self::Unit(text.to_owned())
        }
    }
}

/// The command as it is written in the configuration.
impl fmt::Display for HookCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Program(path) => write!(f, "{}", path.display()),
            Self::Unit(name) => f.write_str(name),
        }
    }
}

/// `[interruption]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterruptionSettings {
    /// Who the programs among the hooks run as; none is root.
    pub user: Option<String>,
}

/// `[notify]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NotifySettings {
    /// Where documents are posted to.
    pub webhook: Option<String>,
    /// The SNS topic that they are published to.
    pub sns_topic: Option<String>,
    /// What is run with them.
    pub command: Option<HookCommand>,
}

/// "auto" reads this often within `act_after` …
const READINGS: u32 = 60;
/// … but never more often …
const AUTO_LEAST: Duration = Duration::from_millis(500);
/// … and never less often than this.
const AUTO_MOST: Duration = Duration::from_secs(10);

/// A counter is averaged over at most this part of `act_after`, so that a short window is not all average.
const AVERAGE_PART: u32 = 6;

/// So many missed readings in a row are a gap, within bounds.
const GAP_READINGS: u32 = 6;
const GAP_LEAST: Duration = Duration::from_secs(5);
const GAP_MOST: Duration = Duration::from_mins(1);

/// What `sampling.interval = "auto"` comes to.
pub(super) fn auto_interval(act_after: Duration) -> Duration {
    whole_millis(act_after / READINGS).clamp(AUTO_LEAST, AUTO_MOST)
}

fn whole_millis(span: Duration) -> Duration {
    Duration::from_millis(u64::try_from(span.as_millis()).unwrap_or(u64::MAX))
}

/// Makes settings of values that were checked. Says in `effective` what `"auto"` came to.
pub(super) fn build(effective: &mut Effective, schema: &Schema) -> Result<Settings, Lacking> {
    let act_after = effective.span("idle.act_after")?;
    let auto = auto_interval(act_after);
    let sampling = effective.span_or_auto("sampling.interval")?.unwrap_or(auto);
    effective.explain_auto("sampling.interval", duration::format(auto));
    let mut sources = BTreeMap::new();
    let mut policies = BTreeMap::new();
    for source in schema.sources() {
        let key = format!("source.{}.interval", source.name);
        effective.explain_auto(&key, duration::format(sampling));
        let policy = source_policy(effective, source, sampling, act_after)?;
        policies.insert(SourceName::new(source.name), policy);
        sources.insert(source.name.to_owned(), own_options(effective, source)?);
    }
    let policy = Policy {
        mode: if effective.text("mode")? == "enforce" { Mode::Enforce } else { Mode::Observe },
        profile: effective.text("profile")?.to_owned(),
        gap: (sampling * GAP_READINGS).clamp(GAP_LEAST, GAP_MOST),
        idle: idle(effective)?,
        hold: HoldPolicy {
            user_max: effective.span("hold.user_max")?,
            admin_max: effective.span("hold.admin_max")?,
        },
        tags: TagPolicy {
            enabled: effective.switch("tags.enabled")?,
            interval: effective.span("tags.interval")?,
        },
        interruption: interruption(effective)?,
        sources: policies,
    };
    Ok(Settings {
        policy,
        sources,
        tags: tags(effective)?,
        hook: hook(effective)?,
        warn_command: Some(effective.text("idle.warn_command")?)
            .filter(|command| !command.is_empty())
            .map(HookCommand::from),
        instance_store: effective.text("idle.instance_store")? == "allow",
        interruption: InterruptionSettings { user: given(effective.text("interruption.user")?) },
        notify: NotifySettings {
            webhook: given(effective.text("notify.webhook")?),
            sns_topic: given(effective.text("notify.sns_topic")?),
            command: given(effective.text("notify.command")?).as_deref().map(HookCommand::from),
        },
        recorder: RecorderSettings {
            enabled: effective.switch("recorder.enabled")?,
            max_age: effective.span("recorder.max_age")?,
            max_size: effective.size("recorder.max_size")?,
        },
        sampling,
    })
}

/// A job in the foreground or left running is waited for so many times as long as nobody …
const JOB_FACTOR: u32 = 8;
/// … but by itself no longer than this.
const JOB_MOST: Duration = Duration::from_hours(4);
/// The least time to run after a stop of the agent's own …
const LEAST_RUN: Duration = Duration::from_mins(30);
/// … unless the idle time is one of a test or a demonstration.
const SHORT_ACT_AFTER: Duration = Duration::from_mins(5);

/// A span, or what its `"auto"` comes to, which is then said in `effective`.
fn span_or(effective: &mut Effective, key: &str, auto: Duration) -> Result<Duration, Lacking> {
    effective.explain_auto(key, duration::format(auto));
    Ok(effective.span_or_auto(key)?.unwrap_or(auto))
}

fn idle(effective: &mut Effective) -> Result<IdlePolicy, Lacking> {
    let act_after = effective.span("idle.act_after")?;
    let job = (act_after * JOB_FACTOR).min(JOB_MOST).max(act_after);
    let least_run = if act_after < SHORT_ACT_AFTER { act_after } else { LEAST_RUN };
    Ok(IdlePolicy {
        enabled: effective.switch("idle.enabled")?,
        quiet_after: effective.span("idle.quiet_after")?,
        act_after,
        connected_after: span_or(effective, "idle.connected_after", act_after * 2)?,
        job_after: span_or(effective, "idle.job_after", job)?,
        least_run: span_or(effective, "idle.least_run", least_run)?,
        action: match effective.text("idle.action")? {
            "hibernate" => Some(Power::Hibernate),
            "stop" => Some(Power::Stop),
            _ => None,
        },
        fallback_stop: effective.text("idle.fallback")? == "stop",
        warn_before: effective.spans("idle.warn_before")?.to_vec(),
        boot_grace: effective.span("idle.boot_grace")?,
        resume_grace: effective.span("idle.resume_grace")?,
        hook: !effective.text("idle.pre_stop")?.is_empty(),
        standby: effective.text("idle.autoscaling")? == "standby",
        verify_after: effective.span("idle.verify_after")?,
    })
}

fn source_policy(
    effective: &Effective,
    source: &SourceKnown,
    sampling: Duration,
    act_after: Duration,
) -> Result<SourcePolicy, Lacking> {
    let key = |word: &str| format!("source.{}.{word}", source.name);
    let limited = source.busy_above > 0.0;
    let busy_above =
        if limited { effective.number(&key("busy_above"))? } else { source.busy_above };
    let limits = match &source.limits {
        Some(_) => Some(Limits {
            roles: role_limits(effective, source)?,
            units: effective.unit_limits(source.name),
        }),
        None => None,
    };
    Ok(SourcePolicy {
        enabled: effective.switch(&key("enabled"))?,
        busy_above,
        limits,
        unit: source.unit.to_owned(),
        scale: source.scale,
        combine: source.combine,
        average: source.average.min(whole_millis(act_after / AVERAGE_PART)),
        interval: effective.span_or_auto(&key("interval"))?.unwrap_or(sampling),
    })
}

fn role_limits(effective: &Effective, source: &SourceKnown) -> Result<RoleLimits, Lacking> {
    let value = |key: &str| effective.number(&format!("source.{}.{key}", source.name));
    Ok(RoleLimits {
        local_above: value("local_above")?,
        server_above: value("server_above")?,
        upkeep_above: value("upkeep_above")?,
        upkeep_together: value("upkeep_together")?,
        unexplained_above: value("unexplained_above")?,
    })
}

/// The key of the units that a person counts as upkeep.
const UPKEEP: &str = "upkeep.units";

fn own_options(effective: &Effective, source: &SourceKnown) -> Result<toml::Table, Lacking> {
    let mut table = toml::Table::new();
    for option in &source.options {
        let key = format!("source.{}.{}", source.name, option.key);
        let entry = effective.entry(&key).ok_or_else(|| Lacking::of(&key))?;
        table.insert(option.key.to_owned(), entry.value.to_toml());
    }
    // Whoever tells work from upkeep by units must know what somebody counts as upkeep.
    if source.options.iter().any(|option| option.key == "units") {
        let upkeep = effective.entry(UPKEEP).ok_or_else(|| Lacking::of(UPKEEP))?;
        table.insert("upkeep".to_owned(), upkeep.value.to_toml());
    }
    Ok(table)
}

fn tags(effective: &Effective) -> Result<TagSettings, Lacking> {
    let compat = effective.texts("tags.compat")?;
    let known = [TagCompat::CloudWorkstation];
    let listed = |schema: &TagCompat| compat.iter().any(|word| word == schema.as_str());
    Ok(TagSettings {
        prefix: effective.text("tags.prefix")?.to_owned(),
        compat: known.into_iter().filter(listed).collect(),
    })
}

fn hook(effective: &Effective) -> Result<Option<HookSettings>, Lacking> {
    let command = effective.text("idle.pre_stop")?;
    if command.is_empty() {
        return Ok(None);
    }
    let user = effective.text("idle.pre_stop_user")?;
    Ok(Some(HookSettings {
        command: HookCommand::from(command),
        timeout: effective.span("idle.pre_stop_timeout")?,
        user: (!user.is_empty()).then(|| user.to_owned()),
    }))
}

/// A text, unless it is empty.
fn given(text: &str) -> Option<String> {
    Some(text).filter(|text| !text.is_empty()).map(str::to_owned)
}

fn interruption(effective: &Effective) -> Result<InterruptionPolicy, Lacking> {
    let reaction = |key| {
        effective.text(key).map(|word| match word {
            "drain" => Reaction::Drain,
            _ => Reaction::Notify,
        })
    };
    Ok(InterruptionPolicy {
        enabled: effective.switch("interruption.enabled")?,
        hooks: effective.texts("interruption.hooks")?.to_vec(),
        fast_hooks: effective.texts("interruption.fast_hooks")?.to_vec(),
        rebalance: reaction("interruption.rebalance")?,
        rebalance_expires: effective.span("interruption.rebalance_expires")?,
        rebalance_interval: effective.span("interruption.rebalance_interval")?,
        maintenance: reaction("interruption.maintenance")?,
        maintenance_lead: effective.span("interruption.maintenance_lead")?,
        autoscaling: reaction("interruption.autoscaling")?,
        autoscaling_drain: effective.span("interruption.autoscaling_drain")?,
    })
}
