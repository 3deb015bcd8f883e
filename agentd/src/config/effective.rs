//! The value of every key that is in force, and where it comes from: a file, the profile, the default.

use core::fmt;
use core::time::Duration;
use std::collections::BTreeMap;

use serde::Serialize;

use super::problem::Place;
use super::profile::{self, Profile};
use super::schema::{Schema, role_limits};
use super::tree::{Given, Merged};
use super::value::{Value, read_literal};

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Origin {
    /// The table of keys.
    Default,
    /// A preset of the profile.
    Profile {
        /// The profile's name.
        profile: &'static str,
    },
    /// A default or a preset that was shortened so that it goes with what a file says of another key.
    Fitted {
        /// The other key.
        to: &'static str,
    },
    /// A file.
    File(Place),
}

impl Origin {
    /// The place, if it is a file.
    pub fn place(&self) -> Option<&Place> {
        match self {
            Self::File(place) => Some(place),
            Self::Default | Self::Profile { .. } | Self::Fitted { .. } => None,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Profile { profile } => write!(f, "profile {profile}"),
            Self::Fitted { to } => write!(f, "default, fitted to {to}"),
            Self::File(place) => write!(f, "{place}"),
        }
    }
}

/// A key with its value in force.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The key with its section.
    pub key: String,
    /// The value.
    pub value: Value,
    /// The value as it stands in the file, or as TOML.
    pub written: String,
    /// Where it comes from.
    pub origin: Origin,
    /// What other files say of it and is not in force, the strongest first: value as written and place.
    pub overridden: Vec<(String, Place)>,
    /// What `"auto"` comes to.
    pub meaning: Option<String>,
}

/// A key that has no value of the kind that was asked for: a mistake in agentd, not in a file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("find a value of the right kind for {0}")]
pub(super) struct Lacking(String);

impl Lacking {
    pub(super) fn of(key: &str) -> Self {
        Self(key.to_owned())
    }
}

/// All keys with their values in force, in the order of the schema.
#[derive(Clone, Debug, PartialEq)]
pub struct Effective {
    entries: Vec<Entry>,
    index: BTreeMap<String, usize>,
}

impl Effective {
    /// Lays what files give over the presets of the profile that they name, and those over the defaults.
    pub(super) fn new(schema: &Schema, merged: &Merged) -> Self {
        let profile = chosen_profile(merged);
        let mut effective = Self { entries: Vec::new(), index: BTreeMap::new() };
        for key in schema.keys() {
            let mut given = merged.of(&key.name).iter().rev();
            let (value, written, origin) = match given.next() {
                Some(Given { value, written, place }) => {
                    (value.clone(), written.clone(), Origin::File(place.clone()))
                }
                None => preset(profile, &key.name, key.kind).unwrap_or_else(|| {
                    (key.default.clone(), key.default.to_string(), Origin::Default)
                }),
            };
            let overridden = given.map(|old| (old.written.clone(), old.place.clone())).collect();
            effective.index.insert(key.name.clone(), effective.entries.len());
            let entry =
                Entry { key: key.name.clone(), value, written, origin, overridden, meaning: None };
            effective.entries.push(entry);
        }
        for key in merged.named() {
            let mut given = merged.of(key).iter().rev();
            let Some(Given { value, written, place }) = given.next() else { continue };
            let overridden = given.map(|old| (old.written.clone(), old.place.clone())).collect();
            effective.index.insert(key.clone(), effective.entries.len());
            effective.entries.push(Entry {
                key: key.clone(),
                value: value.clone(),
                written: written.clone(),
                origin: Origin::File(place.clone()),
                overridden,
                meaning: None,
            });
        }
        effective.fit();
        effective.fit_limits(schema);
        effective
    }

    /// The units of a source that have a limit of their own, by their full names.
    pub(super) fn unit_limits(&self, source: &str) -> BTreeMap<String, f64> {
        let prefix = format!("source.{source}.unit.\"");
        let limit = |entry: &Entry| {
            let unit = entry.key.strip_prefix(&prefix)?.strip_suffix("\".busy_above")?;
            let Value::Number(limit) = entry.value else { return None };
            let unit = if unit.contains('.') { unit.to_owned() } else { format!("{unit}.service") };
            Some((unit, limit))
        };
        self.entries.iter().filter_map(limit).collect()
    }

    /// The entries.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The entry of a key.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.index.get(key).and_then(|at| self.entries.get(*at))
    }

    /// Whether a file says something of the key.
    pub(super) fn is_set(&self, key: &str) -> bool {
        self.place(key).is_some()
    }

    pub(super) fn place(&self, key: &str) -> Option<Place> {
        self.entry(key).and_then(|entry| entry.origin.place()).cloned()
    }

    pub(super) fn text(&self, key: &str) -> Result<&str, Lacking> {
        match self.entry(key).map(|entry| &entry.value) {
            Some(Value::Text(text)) => Ok(text),
            _ => Err(Lacking::of(key)),
        }
    }

    pub(super) fn texts(&self, key: &str) -> Result<&[String], Lacking> {
        match self.entry(key).map(|entry| &entry.value) {
            Some(Value::Texts(texts)) => Ok(texts),
            _ => Err(Lacking::of(key)),
        }
    }

    pub(super) fn switch(&self, key: &str) -> Result<bool, Lacking> {
        match self.entry(key).map(|entry| &entry.value) {
            Some(Value::Switch(on)) => Ok(*on),
            _ => Err(Lacking::of(key)),
        }
    }

    pub(super) fn number(&self, key: &str) -> Result<f64, Lacking> {
        match self.entry(key).map(|entry| &entry.value) {
            Some(Value::Number(number)) => Ok(*number),
            _ => Err(Lacking::of(key)),
        }
    }

    pub(super) fn size(&self, key: &str) -> Result<u64, Lacking> {
        match self.entry(key).map(|entry| &entry.value) {
            Some(Value::Size(bytes)) => Ok(*bytes),
            _ => Err(Lacking::of(key)),
        }
    }

    pub(super) fn span(&self, key: &str) -> Result<Duration, Lacking> {
        self.span_or_auto(key)?.ok_or_else(|| Lacking::of(key))
    }

    /// None is `"auto"`.
    pub(super) fn span_or_auto(&self, key: &str) -> Result<Option<Duration>, Lacking> {
        match self.entry(key).map(|entry| &entry.value) {
            Some(Value::Span(span)) => Ok(Some(*span)),
            Some(Value::Auto) => Ok(None),
            _ => Err(Lacking::of(key)),
        }
    }

    pub(super) fn spans(&self, key: &str) -> Result<&[Duration], Lacking> {
        match self.entry(key).map(|entry| &entry.value) {
            Some(Value::Spans(spans)) => Ok(spans),
            _ => Err(Lacking::of(key)),
        }
    }

    /// Says what `"auto"` comes to.
    pub(super) fn explain_auto(&mut self, key: &str, meaning: String) {
        let entry = self.index.get(key).and_then(|at| self.entries.get_mut(*at));
        if let Some(entry) = entry.filter(|entry| entry.value == Value::Auto) {
            entry.meaning = Some(meaning);
        }
    }

    /// Shortens defaults and presets that would contradict what a file says of another key: who sets only
    /// `act_after = "5m"` does not mean to be told that a default warning comes ten minutes before.
    fn fit(&mut self) {
        if let Ok(act_after) = self.span("idle.act_after") {
            let half = whole_millis(act_after / 2);
            self.fit_span("idle.quiet_after", half, act_after, "idle.act_after");
            self.fit_warnings(act_after, half);
            let tenth = whole_millis(act_after / 10).max(Duration::from_secs(1));
            self.fit_span("tags.interval", tenth, tenth, "idle.act_after");
        }
        if let Ok(most) = self.span("hold.admin_max") {
            self.fit_span("hold.user_max", most, most, "hold.admin_max");
        }
    }

    /// Raises limits of roles that a raised limit of people's work would overtake: whoever says that half a core is nothing
    /// here does not mean a server to count sooner than that.
    fn fit_limits(&mut self, schema: &Schema) {
        for source in schema.sources() {
            let people = format!("source.{}.busy_above", source.name);
            let Ok(people) = self.number(&people) else { continue };
            for limit in source.limits.iter().flat_map(role_limits) {
                let key = format!("source.{}.{}", source.name, limit.key);
                if !self.is_set(&key) && self.number(&key).is_ok_and(|number| number < people) {
                    self.replace(&key, Value::Number(people), "busy_above");
                }
            }
        }
    }

    fn fit_span(&mut self, key: &str, to: Duration, above: Duration, other: &'static str) {
        if !self.is_set(key) && self.span(key).is_ok_and(|span| span > above) {
            self.replace(key, Value::Span(to), other);
        }
    }

    fn fit_warnings(&mut self, act_after: Duration, half: Duration) {
        let key = "idle.warn_before";
        let Ok(spans) = self.spans(key) else { return };
        if self.is_set(key) || spans.iter().all(|span| *span < act_after) {
            return;
        }
        let mut kept: Vec<Duration> =
            spans.iter().copied().filter(|span| *span < act_after).collect();
        if kept.is_empty() {
            kept.push(half);
        }
        self.replace(key, Value::Spans(kept), "idle.act_after");
    }

    fn replace(&mut self, key: &str, value: Value, to: &'static str) {
        if let Some(entry) = self.index.get(key).and_then(|at| self.entries.get_mut(*at)) {
            entry.written = value.to_string();
            entry.value = value;
            entry.origin = Origin::Fitted { to };
        }
    }
}

/// The engine counts whole milliseconds.
fn whole_millis(span: Duration) -> Duration {
    Duration::from_millis(u64::try_from(span.as_millis()).unwrap_or(u64::MAX))
}

fn chosen_profile(merged: &Merged) -> Option<&'static Profile> {
    match merged.of("profile").last().map(|given| &given.value) {
        Some(Value::Text(name)) => profile::named(name),
        _ => None,
    }
}

fn preset(
    profile: Option<&'static Profile>,
    key: &str,
    kind: super::value::Kind,
) -> Option<(Value, String, Origin)> {
    let profile = profile?;
    let (_, literal) = profile.presets.iter().find(|(name, _)| *name == key)?;
    let value = read_literal(kind, literal).ok()?;
    let written = value.to_string();
    Some((value, written, Origin::Profile { profile: profile.name }))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::problem::Problems;
    use super::super::tests::schema;
    use super::*;

    fn effective(files: &[&str]) -> Effective {
        let (schema, mut merged, mut problems) = (schema(), Merged::default(), Problems::default());
        for (number, text) in files.iter().enumerate() {
            let file = format!("{number}.toml");
            merged.add(Path::new(&file), text, &schema, &mut problems);
        }
        problems.finish(&[]).unwrap();
        Effective::new(&schema, &merged)
    }

    #[track_caller]
    fn check(effective: &Effective, key: &str, written: &str, origin: &str) {
        let entry = effective.entry(key).unwrap();
        assert_eq!((entry.written.as_str(), entry.origin.to_string().as_str()), (written, origin));
    }

    #[test]
    fn files_override_the_profile_and_the_profile_overrides_the_defaults() {
        let effective = effective(&[
            "profile = \"batch\"\n[idle]\nact_after = \"12m\"",
            "[idle]\nact_after = \"14m\"",
        ]);
        check(&effective, "idle.act_after", "\"14m\"", "1.toml:2:13");
        check(&effective, "idle.quiet_after", "\"2m\"", "profile batch");
        check(&effective, "idle.boot_grace", "\"15m\"", "default");
        let overridden = &effective.entry("idle.act_after").unwrap().overridden;
        assert_eq!(overridden.len(), 1);
        assert_eq!(overridden[0].0, "\"12m\"");
        assert_eq!(overridden[0].1.to_string(), "0.toml:3:13");
    }

    #[test]
    fn a_later_profile_replaces_all_presets_of_an_earlier() {
        let effective = effective(&["profile = \"batch\"", "profile = \"desktop\""]);
        check(&effective, "idle.act_after", "\"30m\"", "default");
        check(&effective, "source.cpu.busy_above", "0.5", "profile desktop");
    }

    #[test]
    fn defaults_are_fitted_to_what_files_say() {
        let effective = effective(&["[idle]\nact_after = \"20s\"\n[hold]\nadmin_max = \"1h\""]);
        check(&effective, "idle.quiet_after", "\"10s\"", "default, fitted to idle.act_after");
        check(&effective, "idle.warn_before", "[\"10s\"]", "default, fitted to idle.act_after");
        check(&effective, "tags.interval", "\"2s\"", "default, fitted to idle.act_after");
        check(&effective, "hold.user_max", "\"1h\"", "default, fitted to hold.admin_max");
    }

    #[test]
    fn warnings_that_go_with_the_time_are_kept() {
        let effective = effective(&["[idle]\nact_after = \"6m\""]);
        check(
            &effective,
            "idle.warn_before",
            "[\"5m\", \"1m\"]",
            "default, fitted to idle.act_after",
        );
    }

    #[test]
    fn what_a_file_says_is_never_fitted() {
        let effective = effective(&["[idle]\nact_after = \"20s\"\nwarn_before = [\"10m\"]"]);
        check(&effective, "idle.warn_before", "[\"10m\"]", "0.toml:3:15");
    }
}
