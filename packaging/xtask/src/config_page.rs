//! `agentd.toml(5)`, rendered from the commented default configuration that is shipped.

use std::fmt::Write as _;

/// What stands before the keys.
const HEAD: &str = r#".SH NAME
agentd.toml \- configuration of agentd
.SH SYNOPSIS
.I /etc/agentd/agentd.toml
.br
.I /etc/agentd/config.d/*.toml
.br
.I /run/agentd/config.d/*.toml
.br
.I /usr/lib/agentd/config.d/*.toml
.SH DESCRIPTION
The files are read in the order /usr/lib, /run, /etc/agentd/agentd.toml, /etc/agentd/config.d,
within a folder by name; what is read later wins, key by key.
An unknown key is an error that names the file, the line and the nearest name.
.PP
Durations are written with a unit: "90s", "10m", "1h30m".
.PP
.B systemctl reload agentd
takes changed files into force.
If one has a fault, all that was in force before stays so.
.BR "agentctl config check" ,
.B show
and
.BI explain " KEY"
say what is wrong, where each value comes from, and what a key means.
"#;

/// What stands after them.
const TAIL: &str = r#".SH EXAMPLE
Let the agent act, after an hour, and keep the machine up while a service of your own works:
.PP
.in +4n
.nf
mode = "enforce"

[idle]
act_after = "1h"

[source.cpu]
units = ["simulation.service"]
.fi
.in
.SH "SEE ALSO"
.BR agentd (8),
.BR agentctl\-config (1)
"#;

/// One key: its line, `act_after = "30m"`, and what is said of it.
#[derive(Debug, Default, PartialEq, Eq)]
struct Entry {
    assignment: String,
    about: Vec<String>,
}

/// The man page for a commented default configuration.
pub(crate) fn render(config: &str, version: &str, date: &str) -> String {
    let mut page =
        format!(".TH agentd.toml 5 {date} \"agentd {version}\" agentd\n{HEAD}.SH KEYS\n");
    let mut about: Vec<String> = Vec::new();
    for line in config.lines().skip_while(|line| !line.is_empty()) {
        if let Some(section) = line.strip_prefix('[') {
            let _ = writeln!(page, ".SS [{}", escaped(section));
            add_text(&mut page, &about);
            about.clear();
        } else if let Some(assignment) = assignment(line) {
            add_entry(
                &mut page,
                &Entry { assignment: assignment.to_owned(), about: std::mem::take(&mut about) },
            );
        } else if let Some(comment) = line.strip_prefix("# ") {
            if !comment.starts_with('─') {
                about.push(comment.to_owned());
            }
        } else {
            about.clear();
        }
    }
    page.push_str(TAIL);
    page
}

/// `key = value`, in force or commented out without a blank after the sign.
fn assignment(line: &str) -> Option<&str> {
    let line = line.strip_prefix('#').unwrap_or(line);
    let (key, _) = line.split_once(" = ")?;
    let is_key =
        key.chars().all(|letter| letter.is_ascii_lowercase() || letter == '_' || letter == '.');
    is_key.then_some(line)
}

fn add_entry(page: &mut String, entry: &Entry) {
    let (key, value) = entry.assignment.split_once(" = ").unwrap_or((&entry.assignment, ""));
    let _ = writeln!(page, ".TP\n\\fB{}\\fR = {}", escaped(key), escaped(value));
    if entry.about.is_empty() {
        // Told at the first source.
        let _ = writeln!(page, "As in the first source.");
    }
    add_text(page, &entry.about);
}

fn add_text(page: &mut String, lines: &[String]) {
    for line in lines {
        // Rows of a table are indented.
        if line.starts_with("  ") {
            page.push_str(".br\n");
        }
        let _ = writeln!(page, "{}", escaped(line.trim()));
    }
}

/// Text that roff takes as it stands: no escapes, no request at the start of a line.
fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    if text.starts_with(['.', '\'']) { format!("\\&{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = "\
# Configuration of agentd.
# Skipped, as a head.

# Whether agentd acts.
mode = \"observe\"

# Presets.
#   batch        Jobs that end crisply.
#   sandbox      A machine to try things on.
#profile = \"research\"

# ── idle ─────────────
# What is done with a machine that nobody uses.
[idle]

# After this long
# without use agentd acts.
#act_after = \"30m\"
#action = \"hibernate\"
";

    fn keys(config: &str) -> String {
        let page = render(config, "1.2.3", "2026-01-02");
        let (_, keys) = page.split_once(".SH KEYS\n").unwrap();
        keys.split_once(".SH EXAMPLE").unwrap().0.to_owned()
    }

    #[test]
    fn every_key_has_an_entry_with_its_default_and_its_meaning() {
        let expected = "\
.TP
\\fBmode\\fR = \"observe\"
Whether agentd acts.
.TP
\\fBprofile\\fR = \"research\"
Presets.
.br
batch        Jobs that end crisply.
.br
sandbox      A machine to try things on.
.SS [idle]
What is done with a machine that nobody uses.
.TP
\\fBact_after\\fR = \"30m\"
After this long
without use agentd acts.
.TP
\\fBaction\\fR = \"hibernate\"
As in the first source.
";
        assert_eq!(keys(CONFIG), expected);
    }

    #[test]
    fn the_head_names_version_and_date() {
        assert!(
            render(CONFIG, "1.2.3", "2026-01-02")
                .starts_with(".TH agentd.toml 5 2026-01-02 \"agentd 1.2.3\"")
        );
    }

    #[test]
    fn text_cannot_become_a_request_of_roff() {
        assert_eq!(escaped(".so /etc/passwd"), "\\&.so /etc/passwd");
        assert_eq!(escaped("'x"), "\\&'x");
        assert_eq!(escaped("a\\b-c"), "a\\eb\\-c");
    }
}
