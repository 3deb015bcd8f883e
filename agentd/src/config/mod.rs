//! Configuration: fragments of TOML in the system's folders, merged by key, every value with its place, validated as
//! a whole. What is wrong is told all at once, each with file, line, key and what was expected; a configuration with
//! an error is never used in part.
//!
//! [`keys`] is the table that everything comes from.

mod check;
pub mod duration;
mod effective;
mod example;
mod files;
pub mod keys;
mod name;
mod nearest;
mod present;
mod problem;
pub mod profile;
mod schema;
mod settings;
mod show;
mod size;
mod tree;
mod value;

use std::path::PathBuf;

pub use effective::{Effective, Entry, Origin};
pub use example::default_config_text;
pub use files::LoadFrom;
pub use present::absent_units;
pub use problem::{ConfigError, MOST_PROBLEMS, Place, Problem, Severity};
pub use schema::{BadDefault, Key, OptionKind, OptionKnown, Schema, Section, SourceKnown};
pub use settings::{
    HookCommand, HookSettings, InterruptionSettings, NotifySettings, RecorderSettings, Settings,
    TagCompat, TagSettings,
};
pub use show::{UnknownKey, check, explain, show};
pub use value::{Kind, Value};

use problem::Problems;
use tree::Merged;

/// A text for people and the same as a JSON document for programs.
#[derive(Clone, Debug, PartialEq)]
pub struct Rendered {
    /// Lines that end with a newline.
    pub text: String,
    /// One document with a `schema`.
    pub json: serde_json::Value,
}

/// A configuration that is in force or ready to be.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// What agentd works by.
    pub settings: Settings,
    /// Every key with its value and origin.
    pub effective: Effective,
    /// What a person should look at.
    pub warnings: Vec<Problem>,
    /// The files that were read, in the order of their weight.
    pub files: Vec<PathBuf>,
    from: LoadFrom,
    schema: Schema,
}

/// Loads the configuration of an agentd with these sources.
pub fn load(from: &LoadFrom, sources: &[SourceKnown]) -> Result<Loaded, ConfigError> {
    match Schema::new(sources) {
        Ok(schema) => load_with(from, schema),
        Err(error) => Err(inner(&error.to_string())),
    }
}

/// Loads again what `old` was loaded from. On an error nothing of the new is used; `old` stays in force.
pub fn reload(old: &Loaded) -> Result<Loaded, ConfigError> {
    load_with(&old.from, old.schema.clone())
}

fn load_with(from: &LoadFrom, schema: Schema) -> Result<Loaded, ConfigError> {
    let mut problems = Problems::default();
    let mut merged = Merged::default();
    for read in files::read(from, &mut problems) {
        merged.add(&read.file, &read.text, &schema, &mut problems);
    }
    let files = core::mem::take(&mut merged.files);
    let mut effective = Effective::new(&schema, &merged);
    let whole = whole(&mut effective, &schema, &mut problems);
    let warnings = problems.finish(&files)?;
    let settings = whole.map_err(|lacking| inner(&lacking.to_string()))?;
    Ok(Loaded { settings, effective, warnings, files, from: from.clone(), schema })
}

fn whole(
    effective: &mut Effective,
    schema: &Schema,
    problems: &mut Problems,
) -> Result<Settings, effective::Lacking> {
    // A value that could not be read is missing here, and what it seems to contradict would only confuse.
    if !problems.any_error() {
        check::contradictions(effective, schema, problems)?;
    }
    check::cautions(effective, schema, problems)?;
    settings::build(effective, schema)
}

/// A mistake in agentd itself, told like any other so that it is seen.
fn inner(message: &str) -> ConfigError {
    let problem = Problem::error(None, "", message);
    ConfigError { problems: vec![problem], more: 0, files: Vec::new() }
}

impl Loaded {
    /// The keys whose values differ from those of `old`: key, old value, new value. Of a secret it says only whether it is
    /// there.
    pub fn changes(&self, old: &Self) -> Vec<(String, String, String)> {
        let entries = self.effective.entries().iter();
        let changed = entries.filter_map(|new| {
            let before = old.effective.entry(&new.key)?;
            let differs = before.value != new.value;
            let (key, before) = (new.key.clone(), self.told(&new.key, &before.value));
            differs.then(|| (key, before, self.told(&new.key, &new.value)))
        });
        changed.collect()
    }

    /// A value as the journal may tell it.
    fn told(&self, key: &str, value: &Value) -> String {
        let written = value.to_string();
        let secret = self.schema.key(key).is_some_and(|key| key.kind.is_secret());
        if secret && written != "\"\"" { "(not shown)".to_owned() } else { written }
    }

    /// The schema that it was checked against.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }
}

#[cfg(test)]
mod tests;
