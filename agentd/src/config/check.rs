//! What single values cannot show: keys that contradict each other, and legal values that are unsafe for production.

use core::time::Duration;

use super::duration::format;
use super::effective::{Effective, Lacking, Origin};
use super::name;
use super::problem::{Place, Problem, Problems};
use super::schema::Schema;
use super::value::Value;

/// A window must hold at least this many readings, or one look would decide.
const LEAST_READINGS: u32 = 3;

/// A limit of more than this many times its default is warned about.
const LARGE_LIMIT: f64 = 20.0;

/// The people at the machine should be warned at least this long before.
const SHORT_NOTICE: Duration = Duration::from_mins(1);

/// Looks for contradictions.
pub(super) fn contradictions(
    effective: &Effective,
    schema: &Schema,
    problems: &mut Problems,
) -> Result<(), Lacking> {
    let act_after = effective.span("idle.act_after")?;
    let quiet_after = effective.span("idle.quiet_after")?;
    if quiet_after > act_after {
        let keys = ["idle.quiet_after", "idle.act_after"];
        problems.push(against(effective, keys, "is longer than", "it must not be longer"));
    }
    let longest = effective.spans("idle.warn_before")?.first().copied().unwrap_or_default();
    if longest >= act_after {
        let keys = ["idle.warn_before", "idle.act_after"];
        let what = format!("has {}, which is not shorter than", format(longest));
        problems.push(against(effective, keys, &what, "warnings must come after the last use"));
    }
    if effective.span("hold.user_max")? > effective.span("hold.admin_max")? {
        let keys = ["hold.user_max", "hold.admin_max"];
        problems.push(against(effective, keys, "is longer than", "it must not be longer"));
    }
    intervals(effective, schema, problems, act_after)?;
    actions(effective, problems)?;
    hook(effective, schema, problems)?;
    interruption(effective, problems)?;
    let mut enabled = false;
    for source in schema.sources() {
        enabled |= effective.switch(&format!("source.{}.enabled", source.name))?;
    }
    if !enabled && !schema.sources().is_empty() {
        let mut last = schema.sources().iter().rev();
        let place =
            last.find_map(|source| effective.place(&format!("source.{}.enabled", source.name)));
        let problem =
            Problem::error(place, "source", "no source is enabled, so nothing would be known");
        problems.push(
            problem
                .with_hint("enable at least one; to switch agentd off, set idle.enabled = false"),
        );
    }
    Ok(())
}

/// A problem of the first key against the second, at the place of whichever a file sets.
fn against(effective: &Effective, [key, other]: [&str; 2], what: &str, rule: &str) -> Problem {
    let entry = |name: &str| {
        let entry = effective.entry(name);
        let written = entry.map(|entry| entry.written.clone()).unwrap_or_default();
        let origin = entry.map_or(Origin::Default, |entry| entry.origin.clone());
        (written, origin)
    };
    let ((written, origin), (other_written, other_origin)) = (entry(key), entry(other));
    let (message, place) = match origin.place() {
        Some(place) => {
            (format!("{what} {other} = {other_written} ({other_origin})"), Some(place.clone()))
        }
        // The first key is a preset: the place is of the key that a person wrote.
        None => {
            (format!("({origin}) {what} {other} = {other_written}"), other_origin.place().cloned())
        }
    };
    Problem::error(place, key, message).with_value(&written).with_hint(rule)
}

fn intervals(
    effective: &Effective,
    schema: &Schema,
    problems: &mut Problems,
    act_after: Duration,
) -> Result<(), Lacking> {
    let own = schema.sources().iter().map(|source| format!("source.{}.interval", source.name));
    for key in core::iter::once("sampling.interval".to_owned()).chain(own) {
        if let Some(interval) = effective.span_or_auto(&key)?
            && interval.saturating_mul(LEAST_READINGS) > act_after
        {
            let what = format!("gives fewer than {LEAST_READINGS} readings in");
            let keys = [key.as_str(), "idle.act_after"];
            problems.push(against(effective, keys, &what, "read more often"));
        }
    }
    Ok(())
}

fn actions(effective: &Effective, problems: &mut Problems) -> Result<(), Lacking> {
    let none = effective.text("idle.action")? == "none";
    if none && effective.is_set("idle.fallback") && effective.text("idle.fallback")? != "none" {
        let keys = ["idle.fallback", "idle.action"];
        let rule = "with no action there is nothing to fall back from";
        problems.push(against(effective, keys, "contradicts", rule));
    }
    for key in ["idle.pre_stop", "idle.warn_command"] {
        if none && !effective.text(key)?.is_empty() {
            let message = "never runs, because idle.action is \"none\"";
            problems.push(Problem::warning(effective.place(key), key, message));
        }
    }
    Ok(())
}

fn hook(effective: &Effective, schema: &Schema, problems: &mut Problems) -> Result<(), Lacking> {
    let command = effective.text("idle.pre_stop")?;
    let user = effective.text("idle.pre_stop_user")?;
    if name::is_unit(command) && !user.is_empty() {
        let keys = ["idle.pre_stop_user", "idle.pre_stop"];
        let rule = "a unit says itself which User= it runs as";
        problems.push(against(effective, keys, "contradicts", rule));
    }
    for key in ["idle.pre_stop_user", "idle.pre_stop_timeout"] {
        let default = schema.key(key).map(|key| &key.default);
        let changed = effective.entry(key).map(|entry| &entry.value) != default;
        if command.is_empty() && changed {
            let message = "has no effect, because idle.pre_stop is not set";
            problems.push(Problem::warning(effective.place(key), key, message));
        }
    }
    Ok(())
}

fn interruption(effective: &Effective, problems: &mut Problems) -> Result<(), Lacking> {
    let off = !effective.switch("interruption.enabled")?;
    let key = "interruption.hooks";
    if off && !effective.texts(key)?.is_empty() {
        let message = "never run, because interruption.enabled is false";
        problems.push(Problem::warning(effective.place(key), key, message));
    }
    Ok(())
}

/// Looks for values that are unsafe for production.
pub(super) fn cautions(
    effective: &Effective,
    schema: &Schema,
    problems: &mut Problems,
) -> Result<(), Lacking> {
    for (key, entry) in schema.keys().iter().zip(effective.entries()) {
        let Some(caution) = key.caution else { continue };
        if let Value::Span(span) = entry.value
            && span < caution.least
        {
            let message = format!("is unsafe for production: {}", caution.because);
            let hint = format!("at least {} is safe", format(caution.least));
            warn(problems, entry.origin.place(), &key.name, &entry.written, &message, &hint);
        }
    }
    let acts = effective.text("idle.action")? != "none";
    let longest = effective.spans("idle.warn_before")?.first().copied().unwrap_or_default();
    if acts && longest < SHORT_NOTICE {
        let key = "idle.warn_before";
        let message = "is unsafe for production: people have no time to keep the machine up";
        let entry = effective.entry(key);
        let written = entry.map(|entry| entry.written.clone()).unwrap_or_default();
        let place = effective.place(key);
        warn(problems, place.as_ref(), key, &written, message, "warn at least 1m before");
    }
    for source in schema.sources() {
        source_cautions(effective, source, problems)?;
    }
    Ok(())
}

fn source_cautions(
    effective: &Effective,
    source: &super::SourceKnown,
    problems: &mut Problems,
) -> Result<(), Lacking> {
    let key = format!("source.{}.enabled", source.name);
    if !effective.switch(&key)? {
        let place = effective.place(&key);
        let message = "what this source sees no longer keeps the machine up";
        warn(
            problems,
            place.as_ref(),
            &key,
            "false",
            message,
            "leave it enabled where it can be read",
        );
    }
    let key = format!("source.{}.busy_above", source.name);
    if source.busy_above > 0.0
        && effective.is_set(&key)
        && effective.number(&key)? > LARGE_LIMIT * source.busy_above
    {
        let place = effective.place(&key);
        let written = effective.entry(&key).map(|entry| entry.written.clone()).unwrap_or_default();
        let message = format!(
            "is more than {LARGE_LIMIT} times the default of {} {}: a machine in use can look idle",
            source.busy_above, source.unit
        );
        warn(problems, place.as_ref(), &key, written.trim(), &message, "see: agentctl why");
    }
    Ok(())
}

fn warn(
    problems: &mut Problems,
    place: Option<&Place>,
    key: &str,
    written: &str,
    message: &str,
    hint: &str,
) {
    let problem = Problem::warning(place.cloned(), key, message);
    problems.push(problem.with_value(written).with_hint(hint));
}
