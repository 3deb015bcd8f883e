//! Scenario files: what happens to a world, and when.
//!
//! ```toml
//! title = "A spot instance is taken back"
//! instance = ["life-cycle spot"]            # before the first request
//!
//! [[step]]
//! at = "3s"
//! do = "spot terminate in 120s"             # a step, see `step::HELP`
//! say = "EC2 takes the instance back"       # optional
//! ```

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{fs, io, thread};

use serde::Deserialize;
use toml::Spanned;

use crate::step::{Step, StepError, span};

/// Why a scenario cannot be played. The texts fit after "failed to".
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// The file cannot be read.
    #[error("read {}: {cause}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// A line is wrong.
    #[error("understand {}:{line}: {why}", .path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        why: String,
    },
}

/// One step and its moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Scheduled {
    /// After the beginning.
    pub at: Duration,
    /// What is done.
    pub step: Step,
    /// What it is for, for people.
    pub say: Option<String>,
}

/// A scenario.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// What it shows.
    pub title: String,
    /// What is done before anybody asks.
    pub first: Vec<Step>,
    /// What is done later, in order of time.
    pub steps: Vec<Scheduled>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    title: String,
    #[serde(default)]
    instance: Vec<Spanned<String>>,
    #[serde(default)]
    step: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    at: Spanned<String>,
    #[serde(rename = "do")]
    what: Spanned<String>,
    say: Option<String>,
}

impl Scenario {
    /// Reads a file.
    pub fn read(path: &Path) -> Result<Self, ScenarioError> {
        let text = fs::read_to_string(path)
            .map_err(|cause| ScenarioError::Unreadable { path: path.to_owned(), cause })?;
        Self::parse(path, &text)
    }

    /// Reads a text that came from this file.
    pub fn parse(path: &Path, text: &str) -> Result<Self, ScenarioError> {
        let wrong = |at: usize, why: String| {
            let line = text.get(..at).unwrap_or(text).matches('\n').count() + 1;
            ScenarioError::Line { path: path.to_owned(), line, why }
        };
        let file: File = toml::from_str(text).map_err(|why| {
            wrong(why.span().map_or(0, |span| span.start), why.message().to_owned())
        })?;
        let step = |words: &Spanned<String>| {
            let parsed = words.get_ref().parse::<Step>();
            parsed.map_err(|why: StepError| wrong(words.span().start, format!("failed to {why}")))
        };
        let mut steps = Vec::new();
        for entry in &file.step {
            let at = span(entry.at.get_ref()).ok_or_else(|| {
                let why = format!("{:?} is no span such as \"3s\"", entry.at.get_ref());
                wrong(entry.at.span().start, why)
            })?;
            if steps.last().is_some_and(|last: &Scheduled| last.at > at) {
                let why = format!("{} is before the step above", entry.at.get_ref());
                return Err(wrong(entry.at.span().start, why));
            }
            steps.push(Scheduled { at, step: step(&entry.what)?, say: entry.say.clone() });
        }
        let first = file.instance.iter().map(step).collect::<Result<_, _>>()?;
        Ok(Self { title: file.title, first, steps })
    }

    /// Plays the steps in real time from now: `act` is called at each moment, and ends the play with an error.
    pub fn play<E>(&self, mut act: impl FnMut(&Scheduled) -> Result<(), E>) -> Result<(), E> {
        let start = Instant::now();
        for scheduled in &self.steps {
            thread::sleep((start + scheduled.at).saturating_duration_since(Instant::now()));
            act(scheduled)?;
        }
        Ok(())
    }
}

/// The scenarios of a folder with their names, in order: `spot-terminate` and what it shows.
pub fn all(folder: &Path) -> Result<Vec<(String, Scenario)>, ScenarioError> {
    let unreadable = |cause| ScenarioError::Unreadable { path: folder.to_owned(), cause };
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_some_and(|kind| kind == "toml") {
            paths.push(path);
        }
    }
    paths.sort();
    let named = |path: PathBuf| {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Scenario::read(&path).map(|scenario| (name, scenario))
    };
    paths.into_iter().map(named).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instance::Instance;
    use crate::world::World;

    fn parse(text: &str) -> Result<Scenario, ScenarioError> {
        Scenario::parse(Path::new("x.toml"), text)
    }

    fn mistake(text: &str) -> String {
        parse(text).unwrap_err().to_string()
    }

    #[test]
    fn the_shipped_scenarios_are_read_and_can_be_done() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
        let all = all(&folder).unwrap();
        assert!(all.len() >= 10, "{} scenarios", all.len());
        for (name, scenario) in all {
            let mut world = World::start(Instance::default()).unwrap();
            let later = scenario.steps.iter().map(|scheduled| &scheduled.step);
            for step in scenario.first.iter().chain(later) {
                step.apply(&mut world).unwrap_or_else(|why| panic!("{name}: {why}"));
            }
            assert!(!scenario.steps.is_empty(), "{name} has no step");
        }
    }

    #[test]
    fn mistakes_are_told_with_file_and_line() {
        let wrong_step = "title = \"t\"\n\n[[step]]\nat = \"1s\"\ndo = \"spot explode in 3s\"\n";
        let told = mistake(wrong_step);
        assert!(told.starts_with("understand x.toml:5: ") && told.contains("explode"), "{told}");
        let wrong_time = "title = \"t\"\n[[step]]\nat = \"soon\"\ndo = \"spot gone\"\n";
        assert!(mistake(wrong_time).starts_with("understand x.toml:3: \"soon\""));
        let unknown = "title = \"t\"\n[[step]]\nat = \"1s\"\nwhat = \"spot gone\"\n";
        assert!(mistake(unknown).starts_with("understand x.toml:4: "), "{}", mistake(unknown));
        assert!(mistake("title = \n").starts_with("understand x.toml:1: "));
        let back = "title = \"t\"\n[[step]]\nat = \"2s\"\ndo = \"spot gone\"\n[[step]]\nat = \"1s\"\ndo = \"spot gone\"\n";
        assert!(mistake(back).starts_with("understand x.toml:6: 1s is before"));
    }

    #[test]
    fn steps_are_played_at_their_moments() {
        let text = "title = \"t\"\n[[step]]\nat = \"0s\"\ndo = \"rebalance\"\n[[step]]\nat = \"50ms\"\ndo = \"spot gone\"\n";
        let start = Instant::now();
        let mut played = Vec::new();
        let done = parse(text).unwrap().play(|scheduled| {
            played.push((scheduled.step.to_string(), start.elapsed()));
            Ok::<(), ()>(())
        });
        assert_eq!((done, played.len()), (Ok(()), 2));
        assert!(played[1].0 == "spot gone" && played[1].1 >= Duration::from_millis(50));
    }
}
