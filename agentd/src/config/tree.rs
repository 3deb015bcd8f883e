//! From the text of files to the values that they give, each with its place. Files are read in the order of their
//! weight; what a later one gives stands after what an earlier one gave, and nothing is forgotten.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{Place, Problem, Problems};
use super::schema::{Key, Schema};
use super::value::{Value, type_name};
use crate::events::text::printable;

/// The longest way down a table may go; the deepest known key has three steps.
const DEEPEST: usize = 8;

/// At most so many mistakes of syntax are told of one file: the first is the one that counts.
const MOST_SYNTAX_ERRORS: usize = 5;

/// A value that a file gives.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Given {
    pub(super) value: Value,
    /// As written, shortened.
    pub(super) written: String,
    pub(super) place: Place,
}

/// Everything that the files give, by key, in the order of the files.
#[derive(Debug, Default)]
pub(super) struct Merged {
    given: BTreeMap<String, Vec<Given>>,
    /// The keys among them whose tables a person named: `source.cpu.unit."game.service".busy_above`.
    named: Vec<String>,
    /// The files that were read.
    pub(super) files: Vec<PathBuf>,
}

impl Merged {
    /// What the files give for a key, the one that counts last.
    pub(super) fn of(&self, key: &str) -> &[Given] {
        self.given.get(key).map(Vec::as_slice).unwrap_or_default()
    }

    /// The keys that have a name of a person's own in them, in the order in which they were met first.
    pub(super) fn named(&self) -> &[String] {
        &self.named
    }

    /// Reads the text of one file on top of what is there.
    pub(super) fn add(
        &mut self,
        file: &Path,
        text: &str,
        schema: &Schema,
        problems: &mut Problems,
    ) {
        self.files.push(file.to_path_buf());
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let (table, errors) = DeTable::parse_recoverable(text);
        if errors.is_empty() {
            let mut walk = Walk { file, text, schema, problems, merged: self };
            walk.table(table.get_ref(), "", 0);
            return;
        }
        for error in errors.iter().take(MOST_SYNTAX_ERRORS) {
            let place = Place::at(file, text, error.span().map_or(0, |span| span.start));
            let message = format!("is not TOML: {}", printable(error.message(), 300));
            problems.push(Problem::error(Some(place), "", message));
        }
    }
}

struct Walk<'a> {
    file: &'a Path,
    text: &'a str,
    schema: &'a Schema,
    problems: &'a mut Problems,
    merged: &'a mut Merged,
}

impl Walk<'_> {
    fn table(&mut self, table: &DeTable<'_>, section: &str, depth: usize) {
        for (word, value) in table {
            let name = joined(section, word.get_ref());
            if let Some(key) = self.schema.key(&name) {
                self.value(key, value);
            } else if self.schema.has_units(&name) {
                match value.get_ref() {
                    DeValue::Table(units) => self.units(units, &name),
                    other => {
                        let message = format!(
                            "is {}, expected a section for each unit such as [{name}.\"game.service\"]",
                            type_name(other)
                        );
                        self.problem(&name, value, message);
                    }
                }
            } else if self.schema.is_section(&name) {
                match value.get_ref() {
                    DeValue::Table(inner) if depth < DEEPEST => self.table(inner, &name, depth + 1),
                    other => {
                        let message =
                            format!("is {}, expected the section [{name}]", type_name(other));
                        self.problem(&name, value, message);
                    }
                }
            } else {
                self.unknown(section, word, &name, value.get_ref());
            }
        }
    }

    /// The limits of units that have their own.
    fn units(&mut self, units: &DeTable<'_>, section: &str) {
        for (word, value) in units {
            let unit = word.get_ref();
            let name = format!("{section}.\"{}\"", printable(unit, 80));
            let table = match value.get_ref() {
                DeValue::Table(table) => table,
                other => {
                    let message = format!("is {}, expected the section [{name}]", type_name(other));
                    self.problem(&name, value, message);
                    continue;
                }
            };
            if let Err(why) = super::name::work_unit(unit) {
                let place = self.place(word.span().start);
                self.problems.push(Problem::error(Some(place), name.as_str(), why));
                continue;
            }
            for (word, value) in table {
                if word.get_ref() == "busy_above" {
                    self.limit(&format!("{name}.busy_above"), value);
                } else {
                    self.unknown(&name, word, &joined(&name, word.get_ref()), value.get_ref());
                }
            }
        }
    }

    fn limit(&mut self, name: &str, value: &Spanned<DeValue<'_>>) {
        if !self.merged.given.contains_key(name) {
            self.merged.named.push(name.to_owned());
        }
        let key = Key {
            name: name.to_owned(),
            kind: super::value::Kind::Limit { most: 1e15 },
            default: Value::Number(0.0),
            about: String::new(),
            caution: None,
        };
        self.value(&key, value);
    }

    fn value(&mut self, key: &Key, value: &Spanned<DeValue<'_>>) {
        match key.kind.read(value.get_ref()) {
            Ok(read) => {
                let written = printable(self.text.get(value.span()).unwrap_or_default(), 60);
                let given = Given { value: read, written, place: self.place(value.span().start) };
                self.merged.given.entry(key.name.clone()).or_default().push(given);
            }
            Err(misfit) => {
                let span = misfit.span.unwrap_or_else(|| value.span());
                let problem =
                    Problem::error(Some(self.place(span.start)), &key.name, misfit.message);
                self.problems.push(if key.kind.is_secret() {
                    problem
                } else {
                    problem.with_value(self.text.get(span).unwrap_or_default())
                });
            }
        }
    }

    fn unknown(
        &mut self,
        section: &str,
        word: &Spanned<std::borrow::Cow<'_, str>>,
        name: &str,
        value: &DeValue<'_>,
    ) {
        let is_section = value.as_table().is_some();
        let message = if is_section { "is an unknown section" } else { "is an unknown key" };
        let place = self.place(word.span().start);
        let mut problem = Problem::error(Some(place), printable(name, 80), message);
        if !self.problems.is_full() {
            problem.hint = self.schema.suggestion(section, word.get_ref());
        }
        if problem.hint.is_none() && section.starts_with("source.") {
            problem.hint = Some(format!("see: agentctl config explain {section}.enabled"));
        }
        self.problems.push(problem);
    }

    fn problem(&mut self, name: &str, value: &Spanned<DeValue<'_>>, message: String) {
        let problem = Problem::error(Some(self.place(value.span().start)), name, message)
            .with_value(self.text.get(value.span()).unwrap_or_default());
        self.problems.push(problem);
    }

    fn place(&self, offset: usize) -> Place {
        Place::at(self.file, self.text, offset)
    }
}

/// `section.word`, with a word that is no bare key in quotes, so that `"idle.action" = 1` is not `idle.action`.
fn joined(section: &str, word: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let word = if !word.is_empty() && word.chars().all(bare) {
        word.to_owned()
    } else {
        format!("\"{word}\"")
    };
    if section.is_empty() { word } else { format!("{section}.{word}") }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::super::tests::schema;
    use super::*;

    fn add(merged: &mut Merged, file: &str, text: &str) -> Vec<String> {
        let mut problems = Problems::default();
        merged.add(Path::new(file), text, &schema(), &mut problems);
        match problems.finish(&[]) {
            Ok(list) => list.iter().map(Problem::to_string).collect(),
            Err(error) => error.problems.iter().map(Problem::to_string).collect(),
        }
    }

    #[test]
    fn every_value_remembers_its_place_and_what_it_overrode() {
        let mut merged = Merged::default();
        assert!(add(&mut merged, "a", "[idle]\nact_after = \"10m\"\n").is_empty());
        assert!(add(&mut merged, "b", "\nidle.act_after = \"20 min\"").is_empty());
        let given = merged.of("idle.act_after");
        assert_eq!(given.len(), 2);
        assert_eq!(given[0].place.to_string(), "a:2:13");
        assert_eq!(given[1].place.to_string(), "b:2:18");
        assert_eq!(given[1].value, Value::Span(Duration::from_mins(20)));
        assert_eq!(given[1].written, "\"20 min\"");
    }

    #[test]
    fn dotted_inline_and_sectioned_writing_are_the_same() {
        for text in [
            "[source.cpu]\nbusy_above = 1",
            "source.cpu.busy_above = 1",
            "source = { cpu = { busy_above = 1.0 } }",
            "[source]\ncpu.busy_above = 1_0e-1",
        ] {
            let mut merged = Merged::default();
            assert_eq!(add(&mut merged, "f", text), Vec::<String>::new(), "{text}");
            assert_eq!(merged.of("source.cpu.busy_above")[0].value, Value::Number(1.0), "{text}");
        }
    }

    #[test]
    fn a_quoted_key_with_dots_is_not_the_dotted_key() {
        let mut merged = Merged::default();
        let problems = add(&mut merged, "f", "\"idle.act_after\" = \"10m\"");
        assert_eq!(problems.len(), 1);
        assert!(problems[0].contains("unknown key"), "{problems:?}");
        assert!(merged.of("idle.act_after").is_empty());
    }

    #[test]
    fn a_byte_order_mark_is_passed_over() {
        let mut merged = Merged::default();
        assert!(add(&mut merged, "f", "\u{feff}mode = \"enforce\"").is_empty());
        assert_eq!(merged.of("mode")[0].place.column, 8);
    }

    #[test]
    fn broken_syntax_is_told_with_its_line_and_nothing_of_the_file_is_used() {
        let mut merged = Merged::default();
        let problems = add(&mut merged, "f", "mode = \"enforce\"\n[idle\nact_after = \"1m\"\n");
        assert!(problems[0].starts_with("f:2:"), "{problems:?}");
        assert!(merged.of("mode").is_empty());
    }
}
