//! `agentd config …`: questions about the configuration, answered without the running agent.

use std::process::ExitCode;

use crate::config::{self, LoadFrom};
use crate::sources;

/// A bad configuration.
pub const EXIT_CONFIG: u8 = 7;
/// A key that does not exist: a mistake in the command line.
const EXIT_USAGE: u8 = 2;

/// The sources as the configuration needs to know them.
pub fn known_sources() -> Vec<config::SourceKnown> {
    sources::ALL.iter().map(known_source).collect()
}

fn known_source(spec: &sources::SourceSpec) -> config::SourceKnown {
    let options = spec.options.iter().map(|option| config::OptionKnown {
        key: option.key,
        kind: match option.kind {
            sources::OptionKind::Duration => config::OptionKind::Duration,
            sources::OptionKind::Bool => config::OptionKind::Bool,
            sources::OptionKind::Text => config::OptionKind::Text,
            sources::OptionKind::TextList => config::OptionKind::TextList,
            sources::OptionKind::Units => config::OptionKind::Units,
            sources::OptionKind::Programs => config::OptionKind::Programs,
            sources::OptionKind::Number => config::OptionKind::Number,
        },
        default: option.default,
        about: option.about,
    });
    config::SourceKnown {
        name: spec.name,
        about: spec.about,
        unit: spec.unit,
        scale: spec.scale,
        combine: spec.combine,
        busy_above: spec.busy_above,
        limits: spec.limits,
        average: spec.average,
        options: options.collect(),
    }
}

/// What `agentd config` is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigRequest {
    /// Answer with one JSON document.
    pub json: bool,
    /// The question.
    pub what: ConfigQuestion,
}

/// The questions of `agentd config`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigQuestion {
    /// What is wrong?
    Check,
    /// What is in force, and from where?
    Show,
    /// What does this key mean?
    Explain(String),
}

/// Answers `agentd config …` on standard output. Problems go to standard error unless they are the answer.
pub fn print_config(from: &LoadFrom, request: &ConfigRequest) -> ExitCode {
    let known = known_sources();
    let loaded = config::load(from, &known);
    let (answer, bad) = match (&request.what, &loaded) {
        (ConfigQuestion::Check, loaded) => (config::check(loaded), loaded.is_err()),
        (ConfigQuestion::Show, Ok(loaded)) => (config::show(loaded), false),
        (ConfigQuestion::Explain(key), loaded) => {
            match config::explain(&known, loaded.as_ref().ok(), key) {
                Ok(answer) => (answer, false),
                Err(unknown) => {
                    return complain(&format!("error: {unknown}\n"), EXIT_USAGE);
                }
            }
        }
        (ConfigQuestion::Show, Err(_)) => (config::check(&loaded), true),
    };
    let text = if request.json { format!("{}\n", answer.json) } else { answer.text };
    if bad && request.what != ConfigQuestion::Check {
        return complain(&text, EXIT_CONFIG);
    }
    let _ = std::io::Write::write_all(&mut std::io::stdout(), text.as_bytes());
    if bad { ExitCode::from(EXIT_CONFIG) } else { ExitCode::SUCCESS }
}

fn complain(text: &str, code: u8) -> ExitCode {
    let _ = std::io::Write::write_all(&mut std::io::stderr(), text.as_bytes());
    ExitCode::from(code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use agent_core::policy::Policy;
    use std::fs;

    #[test]
    fn the_packaged_configuration_is_what_this_agent_knows() {
        let text = config::default_config_text(&known_sources()).unwrap();
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../packaging/config.d/agentd.toml");
        if std::env::var_os("UPDATE_CONFIG").is_some() {
            fs::write(path, &text).unwrap();
        }
        assert_eq!(text, fs::read_to_string(path).unwrap(), "UPDATE_CONFIG=1 writes it");
    }

    /// The policy by which `tests/accuracy` scores the engine.
    const SCORED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/accuracy/policy.json");

    #[test]
    fn the_accuracy_is_scored_with_the_default_policy() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("agentd.toml");
        fs::write(&file, "mode = \"enforce\"\n").unwrap();
        let loaded = config::load(&LoadFrom::File(file), &known_sources()).unwrap();
        let ours = loaded.settings.policy;
        if std::env::var_os("UPDATE_ACCURACY").is_some() {
            fs::write(SCORED, serde_json::to_string_pretty(&ours).unwrap() + "\n").unwrap();
        }
        let scored: Policy = serde_json::from_slice(&fs::read(SCORED).unwrap()).unwrap();
        assert_eq!(ours, scored, "UPDATE_ACCURACY=1 cargo test -p agentd --lib accuracy");
    }
}
