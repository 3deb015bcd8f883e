//! All keys that this agentd has: the table of keys and, for every source, its section.

use core::time::Duration;
use std::collections::BTreeMap;

use agent_core::policy::{Combine, RoleLimits};

use super::keys::{self, Caution, KEYS, SECTIONS};
use super::nearest;
use super::value::{Kind, Value, read_literal};

/// What the configuration must know of a source. The sources' own table is the origin of it.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceKnown {
    /// The name, as in `[source.NAME]`.
    pub name: &'static str,
    /// What it reads, one sentence.
    pub about: &'static str,
    /// The unit of its limit, for people: `core`, `B/s`, `%`.
    pub unit: &'static str,
    /// A counter's base unit in `unit`.
    pub scale: f64,
    /// Whether its limit is for all counters together or for each.
    pub combine: Combine,
    /// The default limit. Zero: its signals have no limit (marks and blocks).
    pub busy_above: f64,
    /// The default limits of what is not people's work, where there are any.
    pub limits: Option<RoleLimits>,
    /// Counters are averaged over at most this long.
    pub average: Duration,
    /// Its own keys.
    pub options: Vec<OptionKnown>,
}

/// A key of a source's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OptionKnown {
    /// The key within the source's section.
    pub key: &'static str,
    /// The kind of its value.
    pub kind: OptionKind,
    /// Its default as TOML.
    pub default: &'static str,
    /// What it means, one sentence.
    pub about: &'static str,
}

/// The kinds of values that keys of sources have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OptionKind {
    /// A duration, as text.
    Duration,
    /// `true` or `false`.
    Bool,
    /// Text.
    Text,
    /// A list of texts.
    TextList,
    /// A list of units.
    Units,
    /// A list of programs as the kernel names them.
    Programs,
    /// A number from zero.
    Number,
}

impl OptionKind {
    const fn kind(self) -> Kind {
        match self {
            Self::Duration => Kind::Span { least: Duration::ZERO, most: keys::LONGEST },
            Self::Bool => Kind::Switch,
            Self::Text => Kind::Text(256),
            Self::TextList => Kind::Texts,
            Self::Units => Kind::Units,
            Self::Programs => Kind::Programs,
            Self::Number => Kind::Number,
        }
    }
}

/// A key as the loader uses it.
#[derive(Clone, Debug, PartialEq)]
pub struct Key {
    /// The name with its section.
    pub name: String,
    /// The kind of its value.
    pub kind: Kind,
    /// Its default.
    pub default: Value,
    /// What it means.
    pub about: String,
    /// What is unsafe for production.
    pub caution: Option<Caution>,
}

/// A section and what it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// The name: `idle`, `source.cpu`.
    pub name: String,
    /// What it is about.
    pub about: String,
}

/// All sections and keys in the order in which they are shown.
#[derive(Clone, Debug, PartialEq)]
pub struct Schema {
    sections: Vec<Section>,
    keys: Vec<Key>,
    index: BTreeMap<String, usize>,
    sources: Vec<SourceKnown>,
}

/// A default in the program itself that does not fit its key: a mistake in agentd, not in a file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("read the built-in default {default} of {key}: {why}")]
pub struct BadDefault {
    key: String,
    default: String,
    why: String,
}

impl Schema {
    /// The schema with these sources.
    pub fn new(sources: &[SourceKnown]) -> Result<Self, BadDefault> {
        let mut schema = Self {
            sections: SECTIONS
                .iter()
                .map(|spec| Section { name: spec.name.to_owned(), about: spec.about.to_owned() })
                .collect(),
            keys: Vec::new(),
            index: BTreeMap::new(),
            sources: sources.to_vec(),
        };
        for spec in KEYS {
            schema.add(spec.name.to_owned(), spec.kind, spec.default, spec.about, spec.caution)?;
        }
        for source in sources {
            schema.add_source(source)?;
        }
        Ok(schema)
    }

    fn add_source(&mut self, source: &SourceKnown) -> Result<(), BadDefault> {
        let section = format!("source.{}", source.name);
        let name = |key: &str| format!("{section}.{key}");
        let about =
            "Whether this source is read. What it would see is then neither counted nor required.";
        self.add(name("enabled"), Kind::Switch, "true", about, None)?;
        if source.busy_above > 0.0 {
            let about = format!("At or above this ({}) it counts as use.", source.unit);
            let most = if source.unit == "%" { 100.0 } else { 1e15 };
            let default = source.busy_above.to_string();
            self.add(name("busy_above"), Kind::Limit { most }, &default, &about, None)?;
        }
        for limit in source.limits.iter().flat_map(role_limits) {
            let about = format!("{} ({}).", limit.about, source.unit);
            let kind = Kind::Limit { most: 1e15 };
            self.add(name(limit.key), kind, &limit.default.to_string(), &about, None)?;
        }
        let about = "How often this source is read. \"auto\" is sampling.interval.";
        self.add(name("interval"), keys::INTERVAL_KIND, "\"auto\"", about, None)?;
        for option in &source.options {
            self.add(name(option.key), option.kind.kind(), option.default, option.about, None)?;
        }
        self.sections.push(Section { name: section, about: source.about.to_owned() });
        Ok(())
    }

    fn add(
        &mut self,
        name: String,
        kind: Kind,
        default: &str,
        about: &str,
        caution: Option<Caution>,
    ) -> Result<(), BadDefault> {
        let default = read_literal(kind, default).map_err(|why| BadDefault {
            key: name.clone(),
            default: default.to_owned(),
            why,
        })?;
        self.index.insert(name.clone(), self.keys.len());
        self.keys.push(Key { name, kind, default, about: about.to_owned(), caution });
        Ok(())
    }

    /// The key of a name with its section.
    pub fn key(&self, name: &str) -> Option<&Key> {
        self.index.get(name).and_then(|at| self.keys.get(*at))
    }

    /// All keys.
    pub fn keys(&self) -> &[Key] {
        &self.keys
    }

    /// All sections.
    pub fn sections(&self) -> &[Section] {
        &self.sections
    }

    /// The sources.
    pub fn sources(&self) -> &[SourceKnown] {
        &self.sources
    }

    /// Whether a name is the parent of limits of single units: `source.cpu.unit`.
    pub(super) fn has_units(&self, name: &str) -> bool {
        let source = name.strip_prefix("source.").and_then(|rest| rest.strip_suffix(".unit"));
        source.is_some_and(|name| {
            self.sources.iter().any(|it| it.name == name && it.limits.is_some())
        })
    }

    /// Whether a name is a section, or the parent of sections.
    pub fn is_section(&self, name: &str) -> bool {
        name == "source" || self.sections.iter().any(|section| section.name == name)
    }

    /// What stands directly in a section (in the root for the empty name), keys and sections, without the section's
    /// name.
    fn children<'a>(&'a self, section: &'a str) -> impl Iterator<Item = &'a str> + 'a {
        let below = move |name: &'a str| {
            let rest = if section.is_empty() {
                Some(name)
            } else {
                name.strip_prefix(section).and_then(|rest| rest.strip_prefix('.'))
            };
            rest.and_then(|rest| rest.split('.').next())
        };
        let keys = self.keys.iter().map(|key| key.name.as_str());
        let sections = self.sections.iter().map(|section| section.name.as_str());
        keys.chain(sections).filter_map(below)
    }

    /// What an unknown `word` in a section most likely was meant to be, as a phrase for a person.
    pub(super) fn suggestion(&self, section: &str, word: &str) -> Option<String> {
        let full = |child: &str| {
            if section.is_empty() { child.to_owned() } else { format!("{section}.{child}") }
        };
        if let Some(child) = nearest::of(word, self.children(section)) {
            return Some(format!("did you mean {}?", full(child)));
        }
        // The right key in the wrong section.
        let last = |name: &'_ str| name.rsplit('.').next().unwrap_or_default().to_owned();
        let elsewhere = self.keys.iter().find(|key| last(&key.name) == word);
        if let Some(key) = elsewhere.filter(|key| !key.name.starts_with("source.")) {
            return Some(format!("did you mean {}?", key.name));
        }
        let child_of_source = self.sources.iter().find(|source| source.name == word);
        if let Some(source) = child_of_source {
            return Some(format!("did you mean source.{}?", source.name));
        }
        if section == "source" {
            let names: Vec<&str> = self.sources.iter().map(|source| source.name).collect();
            return Some(format!("the sources are {}", names.join(", ")));
        }
        None
    }

    /// What an unknown full name most likely was meant to be.
    pub(super) fn nearest_name(&self, name: &str) -> Option<&str> {
        let names = || self.keys.iter().map(|key| key.name.as_str());
        let ends_with = |full: &&str| full.rsplit('.').next() == Some(name);
        names().find(ends_with).or_else(|| nearest::of(name, names()))
    }
}

/// One limit of a role as a key of a source.
pub(super) struct RoleLimit {
    /// The key within the source's section.
    pub(super) key: &'static str,
    /// Its default, in the source's unit.
    pub(super) default: f64,
    about: &'static str,
}

/// The limits of the roles as keys.
pub(super) fn role_limits(of: &RoleLimits) -> [RoleLimit; 5] {
    let limit = |key, default, about| RoleLimit { key, default, about };
    [
        limit(
            "local_above",
            of.local_above,
            "At or above this a unit that no package brought counts as use by itself; below it, it counts in part",
        ),
        limit("server_above", of.server_above, "The same for a server that a package brought"),
        limit(
            "upkeep_above",
            of.upkeep_above,
            "From here on one of the units that keep the machine counts as a server; below it, it does not count",
        ),
        limit(
            "upkeep_together",
            of.upkeep_together,
            "From here on all units that keep the machine count as servers, however little each of them does",
        ),
        limit(
            "unexplained_above",
            of.unexplained_above,
            "From here on what no account explains counts as use",
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::tests::{schema, sources};
    use super::*;

    #[test]
    fn every_key_is_documented_and_in_a_section() {
        let schema = schema();
        for key in schema.keys() {
            assert!(key.about.ends_with('.'), "{}: {}", key.name, key.about);
            if let Some((section, _)) = key.name.rsplit_once('.') {
                assert!(schema.is_section(section), "{}", key.name);
            }
            assert_eq!(schema.key(&key.name), Some(key), "names are unique");
        }
    }

    #[test]
    fn only_sources_with_a_limit_have_the_key() {
        let schema = schema();
        assert!(schema.key("source.cpu.busy_above").is_some());
        assert!(schema.key("source.input.busy_above").is_none());
        assert!(schema.key("source.input.enabled").is_some());
    }

    #[test]
    fn a_bad_default_of_a_source_is_an_error_that_names_it() {
        let mut sources = sources();
        sources[0].options[0].default = "7";
        let error = Schema::new(&sources).unwrap_err().to_string();
        assert!(error.contains("source.cpu.units") && error.contains('7'), "{error}");
    }

    #[test]
    fn suggestions_look_beside_then_elsewhere() {
        let schema = schema();
        let hint = |section: &str, word: &str| schema.suggestion(section, word);
        assert_eq!(hint("idle", "act_aftr"), Some("did you mean idle.act_after?".into()));
        assert_eq!(hint("", "idel"), Some("did you mean idle?".into()));
        assert_eq!(hint("", "soruce"), Some("did you mean source?".into()));
        assert_eq!(hint("", "act_after"), Some("did you mean idle.act_after?".into()));
        assert_eq!(hint("", "cpu"), Some("did you mean source.cpu?".into()));
        assert_eq!(hint("source", "gpus"), Some("did you mean source.gpu?".into()));
        assert_eq!(hint("source", "floppy"), Some("the sources are cpu, input, gpu".into()));
        assert_eq!(hint("idle", "colour"), None);
    }
}
