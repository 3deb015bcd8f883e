//! The commented default file, made from the table of keys.

use core::fmt::Write as _;

use super::profile::PROFILES;
use super::schema::{BadDefault, Schema, Section};
use super::show::wrapped;
use super::{SourceKnown, keys};

const HEAD: &str = "\
# Configuration of agentd.
#
# Every line that is commented out shows the default. Files in /etc/agentd/config.d/*.toml override this one.
# Durations are written with a unit: \"90s\", \"10m\", \"1h30m\".
#
#   agentctl config check          what is wrong or unsafe
#   agentctl config show           every value and where it comes from
#   agentctl config explain KEY    what a key means
#   systemctl reload agentd        take a changed file into force
";

/// The width of comments.
const WIDTH: usize = 96;

/// The text of the default configuration file: all keys with their meaning, commented out, except that the mode is
/// set, because that is the line which an administrator changes first.
pub fn default_config_text(sources: &[SourceKnown]) -> Result<String, BadDefault> {
    let schema = Schema::new(sources)?;
    let mut text = HEAD.to_owned();
    for key in schema.keys().iter().filter(|key| !key.name.contains('.')) {
        comment(&mut text, &key.about);
        if key.name == "profile" {
            for profile in PROFILES {
                comment_line(&mut text, &format!("  {:<12} {}", profile.name, profile.about));
            }
        }
        let sign = if key.name == "mode" { "" } else { "#" };
        let _ = writeln!(text, "{sign}{} = {}", key.name, key.default);
    }
    for section in schema.sections() {
        add_section(&mut text, &schema, section);
    }
    Ok(text)
}

fn add_section(text: &mut String, schema: &Schema, section: &Section) {
    let bar = "─".repeat(WIDTH.saturating_sub(section.name.len() + 6));
    let _ = write!(text, "\n# ── {} {bar}\n", section.name);
    for line in wrapped(&section.about, WIDTH - 2) {
        comment_line(text, &line);
    }
    let _ = writeln!(text, "[{}]", section.name);
    let of_source = section.name.starts_with("source.");
    for key in schema.keys() {
        let Some((of, word)) = key.name.rsplit_once('.') else { continue };
        if of != section.name {
            continue;
        }
        // What all sources have in common is told once, before the first.
        let told =
            of_source && !is_first_source(schema, of) && ["enabled", "interval"].contains(&word);
        if !told {
            comment(text, &key.about);
        }
        let _ = writeln!(text, "#{word} = {}", key.default);
    }
}

fn is_first_source(schema: &Schema, section: &str) -> bool {
    let first = schema.sections().get(keys::SECTIONS.len());
    first.is_some_and(|first| first.name == section)
}

fn comment(text: &mut String, about: &str) {
    text.push('\n');
    for line in wrapped(about, WIDTH - 2) {
        comment_line(text, &line);
    }
}

fn comment_line(text: &mut String, line: &str) {
    let _ = writeln!(text, "# {line}");
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::tests::sources;
    use super::super::{LoadFrom, Loaded, load};
    use super::*;

    fn loaded(text: &str) -> Loaded {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("agentd.toml");
        fs::write(&file, text).unwrap();
        load(&LoadFrom::File(file), &sources()).unwrap()
    }

    #[test]
    fn the_default_file_changes_nothing_and_neither_does_uncommenting_it() {
        let text = default_config_text(&sources()).unwrap();
        let defaults = loaded("").settings;
        assert_eq!(loaded(&text).settings, defaults);
        let assignment = |line: &'_ str| match line.strip_prefix('#') {
            Some(rest) if !rest.starts_with(' ') => rest.to_owned(),
            _ => line.to_owned(),
        };
        let uncommented = text.lines().map(assignment).collect::<Vec<_>>().join("\n");
        let loaded = loaded(&uncommented);
        assert_eq!(loaded.settings, defaults);
        let set = |entry: &&super::super::Entry| entry.origin.place().is_some();
        let count = loaded.effective.entries().len();
        assert_eq!(
            loaded.effective.entries().iter().filter(set).count(),
            count,
            "every key is in it"
        );
        assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    }

    #[test]
    fn only_the_mode_is_in_force_and_it_observes() {
        let text = default_config_text(&sources()).unwrap();
        let in_force: Vec<&str> = text
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#') && !line.starts_with('['))
            .collect();
        assert_eq!(in_force, ["mode = \"observe\""]);
        assert!(text.lines().all(|line| line.chars().count() <= 120), "no line is too long");
    }
}
