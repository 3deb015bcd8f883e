//! What is wrong in a configuration, told so that a person can put it right: file, line, key, value, what was
//! expected.

use core::fmt;
use std::path::PathBuf;

use serde::Serialize;

use crate::events::text::printable;

/// The most problems that one load reports; what comes after them is only counted.
pub const MOST_PROBLEMS: usize = 100;

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Place {
    /// The file as it was opened.
    pub file: PathBuf,
    /// The line, from 1. Zero means the file as a whole.
    pub line: usize,
    /// The column in characters, from 1. Zero with line zero.
    pub column: usize,
}

impl Place {
    /// A file as a whole.
    pub fn whole(file: impl Into<PathBuf>) -> Self {
        Self { file: file.into(), line: 0, column: 0 }
    }

    /// The place of a byte offset in the text of a file.
    pub fn at(file: impl Into<PathBuf>, text: &str, offset: usize) -> Self {
        let before = text.as_bytes().get(..offset.min(text.len())).unwrap_or_default();
        let line_start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let line = before.split(|byte| *byte == b'\n').count();
        let in_line = before.get(line_start..).unwrap_or_default();
        // Characters, not bytes: continuation bytes of UTF-8 do not count.
        let column = in_line.iter().filter(|byte| **byte & 0xC0 != 0x80).count() + 1;
        Self { file: file.into(), line, column }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&printable(&self.file.to_string_lossy(), 300))?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        Ok(())
    }
}

/// Whether a problem keeps the configuration from being used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The configuration is refused as a whole.
    Error,
    /// It is used; a person should look.
    Warning,
}

/// One problem.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// How bad.
    pub severity: Severity,
    /// Where; none where it is in no file (a preset against a preset).
    pub place: Option<Place>,
    /// The key with its section, `idle.act_after`; empty where it is of no key (syntax, a file that cannot be read).
    pub key: String,
    /// The value as it was written, shortened; none where it is of no value.
    pub value: Option<String>,
    /// What is wrong.
    pub message: String,
    /// What was expected, or what to do.
    pub hint: Option<String>,
}

impl Problem {
    /// An error of a key.
    pub fn error(place: Option<Place>, key: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            place,
            key: key.into(),
            value: None,
            message: message.into(),
            hint: None,
        }
    }

    /// A warning of a key.
    pub fn warning(
        place: Option<Place>,
        key: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self { severity: Severity::Warning, ..Self::error(place, key, message) }
    }

    /// The same problem with the value as written.
    #[must_use]
    pub fn with_value(mut self, value: &str) -> Self {
        self.value = Some(printable(value, 60));
        self
    }

    /// The same problem with what was expected or what to do.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        if self.severity == Severity::Warning {
            f.write_str("warning: ")?;
        }
        if !self.key.is_empty() {
            f.write_str(&self.key)?;
            if let Some(value) = &self.value {
                write!(f, " = {value}")?;
            }
            f.write_str(": ")?;
        }
        f.write_str(&self.message)?;
        if let Some(hint) = &self.hint {
            write!(f, "; {hint}")?;
        }
        Ok(())
    }
}

/// A configuration that cannot be used, with everything that is wrong in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("load the configuration: {}", summary(.problems, *.more))]
pub struct ConfigError {
    /// The errors and warnings by file, line and column.
    pub problems: Vec<Problem>,
    /// How many more there were beyond [`MOST_PROBLEMS`].
    pub more: usize,
    /// The files that were read, in the order of their weight.
    pub files: Vec<PathBuf>,
}

fn summary(problems: &[Problem], more: usize) -> String {
    let mut errors = problems.iter().filter(|problem| problem.severity == Severity::Error);
    let first = errors.next().map(Problem::to_string).unwrap_or_default();
    match errors.count() + more {
        0 => first,
        1 => format!("{first} (and 1 more error)"),
        others => format!("{first} (and {others} more errors)"),
    }
}

/// Collects problems, at most [`MOST_PROBLEMS`] of them.
#[derive(Debug, Default)]
pub(super) struct Problems {
    list: Vec<Problem>,
    more: usize,
}

impl Problems {
    pub(super) fn push(&mut self, problem: Problem) {
        if self.list.len() < MOST_PROBLEMS {
            self.list.push(problem);
        } else if problem.severity == Severity::Error {
            self.more += 1;
        }
    }

    /// Whether further problems are only counted.
    pub(super) fn is_full(&self) -> bool {
        self.list.len() >= MOST_PROBLEMS
    }

    pub(super) fn any_error(&self) -> bool {
        self.more > 0 || self.list.iter().any(|problem| problem.severity == Severity::Error)
    }

    /// The warnings, or the error that holds everything.
    pub(super) fn finish(mut self, files: &[PathBuf]) -> Result<Vec<Problem>, ConfigError> {
        self.list.sort_by(|a, b| a.place.cmp(&b.place));
        if self.any_error() {
            Err(ConfigError { problems: self.list, more: self.more, files: files.to_vec() })
        } else {
            Ok(self.list)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_counts_lines_and_characters_from_one() {
        let text = "a = 1\nß = \"é\" # x\n";
        assert_eq!(Place::at("f", text, 0).to_string(), "f:1:1");
        assert_eq!(Place::at("f", text, 6).to_string(), "f:2:1");
        let quote = text.find('#').unwrap();
        assert_eq!(Place::at("f", text, quote).to_string(), "f:2:9");
        assert_eq!(Place::at("f", text, 10_000).line, 3);
        assert_eq!(Place::whole("f").to_string(), "f");
    }

    #[test]
    fn a_problem_names_place_key_value_and_remedy() {
        let place = Place { file: "/etc/agentd/agentd.toml".into(), line: 4, column: 13 };
        let problem = Problem::error(Some(place), "idle.act_after", "has no unit")
            .with_value("10\n\u{1b}[31m")
            .with_hint("write \"10m\"");
        assert_eq!(
            problem.to_string(),
            "/etc/agentd/agentd.toml:4:13: idle.act_after = 10\\n\\u{1b}[31m: has no unit; write \"10m\""
        );
    }

    #[test]
    fn problems_beyond_the_limit_are_counted() {
        let mut problems = Problems::default();
        for line in 0..MOST_PROBLEMS + 5 {
            let place = Place { file: "f".into(), line, column: 1 };
            problems.push(Problem::error(Some(place), "k", "bad"));
        }
        let error = problems.finish(&[]).unwrap_err();
        assert_eq!(error.problems.len(), MOST_PROBLEMS);
        assert_eq!(error.more, 5);
        assert!(error.to_string().ends_with("(and 104 more errors)"), "{error}");
    }

    #[test]
    fn warnings_alone_are_no_error() {
        let mut problems = Problems::default();
        problems.push(Problem::warning(None, "idle.act_after", "is short"));
        assert_eq!(problems.finish(&[]).unwrap().len(), 1);
    }
}
