//! What `config show`, `config explain` and `config check` print, as text and as JSON.

use core::fmt::Write as _;

use serde_json::json;

use super::effective::Entry;
use super::profile::PROFILES;
use super::schema::{Key, Schema};
use super::value::{Value, read_literal};
use super::{ConfigError, Loaded, Problem, Rendered, Severity, SourceKnown};
use crate::events::text::printable;

/// The column at which origins begin, where the value leaves room.
const ORIGIN_COLUMN: usize = 44;

/// A key that does not exist.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("explain {key}: there is no such key{}", hint(.nearest.as_deref()))]
pub struct UnknownKey {
    key: String,
    nearest: Option<String>,
}

fn hint(nearest: Option<&str>) -> String {
    nearest.map(|key| format!("; did you mean {key}?")).unwrap_or_default()
}

/// Every key with its value in force and where it comes from. The text is itself a configuration: loaded alone it
/// gives the same settings.
pub fn show(loaded: &Loaded) -> Rendered {
    let mut text = String::from("# files, later ones win:");
    if loaded.files.is_empty() {
        text.push_str(" none");
    }
    for file in &loaded.files {
        let _ = write!(text, "\n#   {}", printable(&file.to_string_lossy(), 300));
    }
    text.push('\n');
    let mut section = String::new();
    for entry in loaded.effective.entries() {
        let (of, word) = entry.key.rsplit_once('.').unwrap_or(("", &entry.key));
        if of != section {
            of.clone_into(&mut section);
            let _ = write!(text, "\n[{section}]\n");
        }
        let assignment = format!("{word} = {}", entry.value);
        let _ = writeln!(text, "{assignment:ORIGIN_COLUMN$} # {}", remark(entry));
    }
    let values: Vec<serde_json::Value> =
        loaded.effective.entries().iter().map(entry_json).collect();
    let json = json!({
        "schema": "agentd/config/v1",
        "files": loaded.files,
        "values": values,
        "warnings": loaded.warnings,
    });
    Rendered { text, json }
}

/// Origin, what was overridden, what "auto" comes to.
fn remark(entry: &Entry) -> String {
    let mut remark = entry.origin.to_string();
    for (written, place) in &entry.overridden {
        let _ = write!(remark, ", over {written} in {place}");
    }
    if let Some(meaning) = &entry.meaning {
        let _ = write!(remark, ", comes to {meaning}");
    }
    remark
}

fn entry_json(entry: &Entry) -> serde_json::Value {
    let overridden: Vec<serde_json::Value> = entry
        .overridden
        .iter()
        .map(|(written, place)| json!({ "written": written, "place": place }))
        .collect();
    json!({
        "key": entry.key,
        "value": value_json(&entry.value),
        "origin": entry.origin,
        "overridden": overridden,
        "meaning": entry.meaning,
    })
}

fn value_json(value: &Value) -> serde_json::Value {
    serde_json::to_value(value.to_toml()).unwrap_or(serde_json::Value::Null)
}

/// What a key means, what it takes, its defaults, and its value in force if a configuration is given.
pub fn explain(
    sources: &[SourceKnown],
    loaded: Option<&Loaded>,
    name: &str,
) -> Result<Rendered, UnknownKey> {
    let unknown = |nearest: Option<&str>| UnknownKey {
        key: printable(name, 80),
        nearest: nearest.map(str::to_owned),
    };
    let schema = Schema::new(sources).map_err(|_| unknown(None))?;
    let key = schema.key(name).ok_or_else(|| unknown(schema.nearest_name(name)))?;
    let entry = loaded.and_then(|loaded| loaded.effective.entry(name));
    let presets = presets(key);
    let mut text = format!("{}\n", key.name);
    for line in wrapped(&key.about, 76) {
        let _ = writeln!(text, "  {line}");
    }
    let _ = writeln!(text, "\n  takes     {}{}", key.kind, bounds(key));
    let _ = writeln!(text, "  default   {}", key.default);
    for (profile, value) in &presets {
        let _ = writeln!(text, "            {value} with profile {profile}");
    }
    if let Some(caution) = key.caution {
        let least = super::duration::format(caution.least);
        let _ = writeln!(text, "  caution   below {least}: {}", caution.because);
    }
    if let Some(entry) = entry {
        let _ = writeln!(text, "  now       {} ({})", entry.value, remark(entry));
    }
    let json = json!({
        "schema": "agentd/config-key/v1",
        "key": key.name,
        "about": key.about,
        "takes": format!("{}{}", key.kind, bounds(key)),
        "default": value_json(&key.default),
        "profiles": presets.iter().map(|(profile, value)| ((*profile).to_owned(), value_json(value)))
            .collect::<serde_json::Map<_, _>>(),
        "now": entry.map(entry_json),
    });
    Ok(Rendered { text, json })
}

fn presets(key: &Key) -> Vec<(&'static str, Value)> {
    let preset = |profile: &super::profile::Profile| {
        let (_, literal) = profile.presets.iter().find(|(name, _)| *name == key.name)?;
        Some((profile.name, read_literal(key.kind, literal).ok()?))
    };
    PROFILES.iter().filter_map(preset).collect()
}

fn bounds(key: &Key) -> String {
    use super::value::Kind;
    match key.kind {
        Kind::Span { least, most }
        | Kind::SpanOrAuto { least, most }
        | Kind::Spans { least, most, .. } => {
            format!(
                ", from {} to {}",
                super::duration::format(least),
                super::duration::format(most)
            )
        }
        Kind::Size { least, most } => {
            format!(", from {} to {}", super::size::format(least), super::size::format(most))
        }
        Kind::Limit { most } if most <= 100.0 => format!(", at most {most}"),
        _ => String::new(),
    }
}

/// Breaks a text into lines of at most `width` characters.
pub(super) fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// What is wrong or unsafe, one line a problem, and a last line that says whether the configuration can be used.
pub fn check(result: &Result<Loaded, ConfigError>) -> Rendered {
    let (problems, files, more) = match result {
        Ok(loaded) => (&loaded.warnings, &loaded.files, 0),
        Err(error) => (&error.problems, &error.files, error.more),
    };
    let mut text = String::new();
    for problem in problems {
        let _ = writeln!(text, "{problem}");
    }
    let counted = |severity: Severity| problems.iter().filter(|p| p.severity == severity).count();
    let errors = counted(Severity::Error) + more;
    let warnings = counted(Severity::Warning);
    let verdict = if result.is_ok() { "usable" } else { "not usable" };
    let _ = writeln!(
        text,
        "{verdict}: {} read, {}, {}",
        count(files.len(), "file"),
        count(errors, "error"),
        count(warnings, "warning"),
    );
    let rendered: Vec<serde_json::Value> = problems.iter().map(problem_json).collect();
    let json = json!({
        "schema": "agentd/config-check/v1",
        "ok": result.is_ok(),
        "files": files,
        "errors": errors,
        "warnings": warnings,
        "problems": rendered,
    });
    Rendered { text, json }
}

fn problem_json(problem: &Problem) -> serde_json::Value {
    let mut json = serde_json::to_value(problem).unwrap_or_default();
    if let Some(fields) = json.as_object_mut() {
        fields.insert("text".to_owned(), json!(problem.to_string()));
    }
    json
}

fn count(number: usize, what: &str) -> String {
    match number {
        0 => format!("no {what}s"),
        1 => format!("1 {what}"),
        _ => format!("{number} {what}s"),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::tests::sources;
    use super::super::{LoadFrom, load};
    use super::*;

    fn loaded(text: &str) -> Result<Loaded, ConfigError> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("agentd.toml");
        fs::write(&file, text).unwrap();
        load(&LoadFrom::File(file), &sources())
    }

    #[test]
    fn what_is_shown_is_a_configuration_that_gives_the_same_settings() {
        for text in [
            "",
            "profile = \"desktop\"",
            "mode = \"enforce\"\n[idle]\nact_after = \"20s\"\npre_stop = \"/opt/x\\\"y\"",
            "[tags]\nprefix = \"a b:\"\ncompat = [\"cloudworkstation\"]\n[source.gpu]\nfloor = 2.5",
        ] {
            let first = loaded(text).unwrap();
            let again = loaded(&show(&first).text).unwrap();
            assert_eq!(first.settings, again.settings, "{text}");
        }
    }

    #[test]
    fn show_tells_the_origin_of_every_value() {
        let root = tempfile::tempdir().unwrap();
        for (file, text) in [
            (
                "usr/lib/agentd/config.d/site.toml",
                "profile = \"batch\"\n[idle]\nact_after = \"15m\"",
            ),
            ("etc/agentd/agentd.toml", "[idle]\nact_after = \"20m\""),
        ] {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let from = LoadFrom::System { root: root.path().to_path_buf() };
        let shown = show(&load(&from, &sources()).unwrap());
        let text = shown.text.replace(root.path().to_str().unwrap(), "");
        let line =
            |start: &str| text.lines().find(|line| line.starts_with(start)).unwrap().to_owned();
        assert!(text.starts_with(
            "# files, later ones win:\n#   /usr/lib/agentd/config.d/site.toml\n#   /etc/agentd/agentd.toml\n"
        ));
        assert_eq!(
            line("act_after"),
            "act_after = \"20m\"                            # /etc/agentd/agentd.toml:2:13, \
             over \"15m\" in /usr/lib/agentd/config.d/site.toml:3:13"
        );
        assert!(line("quiet_after").ends_with("# profile batch"));
        assert!(line("boot_grace").ends_with("# default"));
        assert!(text.contains("[source.cpu]\n"));
        assert!(line("interval").ends_with("# default, comes to 10s"), "{}", line("interval"));
        let values = shown.json["values"].as_array().unwrap();
        let act = values.iter().find(|value| value["key"] == "idle.act_after").unwrap();
        assert_eq!(act["origin"]["kind"], "file");
        assert_eq!(act["origin"]["line"], 2);
        assert_eq!(act["overridden"][0]["place"]["column"], 13);
    }

    #[test]
    fn explain_tells_meaning_type_defaults_and_value() {
        let loaded = loaded("[idle]\nact_after = \"45m\"").unwrap();
        let told = explain(&sources(), Some(&loaded), "idle.act_after").unwrap();
        for part in [
            "idle.act_after\n  After this long without use agentd acts.\n",
            "takes     a duration such as \"30s\", \"10m\" or \"2h\", from 1s to 30d\n",
            "default   \"30m\"\n",
            "\"10m\" with profile batch\n",
            "caution   below 5m: ",
            "now       \"45m\" (",
            "agentd.toml:2:13)",
        ] {
            assert!(told.text.contains(part), "{part:?} in\n{}", told.text);
        }
        assert_eq!(told.json["profiles"]["batch"], "10m");
        assert_eq!(told.json["now"]["value"], "45m");
    }

    #[test]
    fn explain_works_without_a_usable_configuration_and_for_every_key() {
        let schema = Schema::new(&sources()).unwrap();
        for key in schema.keys() {
            let told = explain(&sources(), None, &key.name).unwrap();
            assert!(told.text.lines().all(|line| line.chars().count() <= 160), "{}", told.text);
            assert_eq!(told.json["now"], serde_json::Value::Null);
        }
    }

    #[test]
    fn an_unknown_key_is_answered_with_the_nearest() {
        let error = |name: &str| explain(&sources(), None, name).unwrap_err().to_string();
        assert_eq!(
            error("idle.act_aftr"),
            "explain idle.act_aftr: there is no such key; did you mean idle.act_after?"
        );
        assert!(error("act_after").ends_with("did you mean idle.act_after?"));
        assert_eq!(error("colour\n"), "explain colour\\n: there is no such key");
    }

    #[test]
    fn check_lists_every_problem_and_a_verdict() {
        let fine = check(&loaded(""));
        assert_eq!(fine.text, "usable: 1 file read, no errors, no warnings\n");
        assert_eq!(fine.json["ok"], true);

        let warned = check(&loaded("[idle]\nact_after = \"2m\""));
        assert!(
            warned
                .text
                .contains(":2:13: warning: idle.act_after = \"2m\": is unsafe for production")
        );
        assert!(
            warned.text.ends_with("usable: 1 file read, no errors, 1 warning\n"),
            "{}",
            warned.text
        );

        let broken = check(&loaded("mod = 1\n[idle]\nact_after = 10"));
        assert!(
            broken.text.contains(":1:1: mod: is an unknown key; did you mean mode?\n"),
            "{}",
            broken.text
        );
        assert!(broken.text.contains(":3:13: idle.act_after = 10: has no unit"), "{}", broken.text);
        assert!(broken.text.ends_with("not usable: 1 file read, 2 errors, no warnings\n"));
        assert_eq!(broken.json["problems"][1]["key"], "idle.act_after");
        assert_eq!(broken.json["problems"][1]["place"]["line"], 3);
        assert_eq!(broken.json["problems"][1]["value"], "10");
    }
}
