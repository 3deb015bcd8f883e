//! Tables of cron (crontab(5)).

use super::fields::{self, When};

/// Whose table it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The system's: the user stands behind the times.
    System,
    /// One user's.
    Personal,
}

/// One line that says something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    /// A job.
    Job {
        /// When it runs.
        when: When,
        /// As whom, where the line tells it.
        user: Option<&'a str>,
        /// In which time zone, where the table tells it (`CRON_TZ`).
        zone: Option<&'a str>,
    },
    /// Not understood.
    Nonsense,
}

/// The jobs of a table with the numbers of their lines. Comments and settings are left out, and in a table of the system the lines
/// that run a folder of scripts (`/etc/cron.hourly` and so on) in which nothing is that `local` says of a folder.
pub(super) fn lines(text: &str, kind: Kind, local: impl Fn(&str) -> bool) -> Vec<(usize, Line<'_>)> {
    let mut found = Vec::new();
    let mut zone = None;
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some((name, value)) = setting(line) {
            if name == "CRON_TZ" {
                zone = Some(value).filter(|value| is_zone(value));
            }
            continue;
        }
        let of_packages = match folder(line) {
            Some(folder) => !local(folder),
            None => line.contains("anacron"),
        };
        if kind == Kind::System && of_packages {
            continue;
        }
        // A minus in front keeps a job out of the log.
        let mut words = line.strip_prefix('-').unwrap_or(line).split_ascii_whitespace();
        let job = fields::parse(&mut words).and_then(|when| {
            let user = match kind {
                Kind::System => Some(words.next()?),
                Kind::Personal => None,
            };
            words.next()?;
            Some(Line::Job { when, user, zone })
        });
        found.push((index + 1, job.unwrap_or(Line::Nonsense)));
    }
    found
}

/// The folder of scripts that a line runs.
fn folder(line: &str) -> Option<&str> {
    let path = line.get(line.find("/etc/cron.")?..)?;
    let of_path = |other: char| other.is_ascii_alphanumeric() || "/._-".contains(other);
    let path = path.split(|other| !of_path(other)).next()?.trim_end_matches('/');
    // One script in it is a job like any other.
    (path.matches('/').count() == 2).then_some(path)
}

/// `NAME = value`, with or without quotes.
fn setting<'a>(line: &'a str) -> Option<(&'a str, &'a str)> {
    let (name, value) = line.split_once('=')?;
    let bare = |text: &'a str| text.trim().trim_matches(['"', '\'']);
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let word = bare(name);
    let begins = word.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
    (begins && word.bytes().all(plain)).then(|| (word, bare(value)))
}

/// A name of a time zone that stays below its folder.
pub(super) fn is_zone(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/_+-".contains(&byte);
    !name.is_empty() && !name.starts_with('/') && name.len() < 64 && name.bytes().all(plain)
}

/// Whether cron reads a file of that name. Of the system's tables it passes over those with a dot in their name, such as
/// `backup.dpkg-old`; of users', over what editors and crontab(1) leave. (`database.c` of vixie-cron and cronie.)
pub(super) fn is_name(name: &str, kind: Kind) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    let left = name.starts_with(['.', '#']) || name.starts_with("tmp.") || name.ends_with('~');
    !name.is_empty()
        && match kind {
            Kind::System => name.bytes().all(plain),
            Kind::Personal => !left,
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str, kind: Kind) -> Vec<(usize, &'static str, Option<&str>, Option<&str>)> {
        let tell = |(number, line)| match line {
            Line::Job { when: When::At(_), user, zone } => (number, "job", user, zone),
            Line::Job { when: When::AtStart, user, zone } => (number, "start", user, zone),
            Line::Nonsense => (number, "nonsense", None, None),
        };
        lines(text, kind, |folder| folder == "/etc/cron.weekly").into_iter().map(tell).collect()
    }

    #[test]
    fn a_personal_table_is_understood() {
        let text = "# mine\n\nMAILTO=\"\"\n  CRON_TZ = 'Europe/Berlin'\n0 3 * * * backup =x\n-*/5 * * * * x\n@reboot y\n0 3 * * *\nfoo bar\n";
        let berlin = Some("Europe/Berlin");
        let expected = [
            (5, "job", None, berlin),
            (6, "job", None, berlin),
            (7, "start", None, berlin),
            (8, "nonsense", None, None),
            (9, "nonsense", None, None),
        ];
        assert_eq!(told(text, Kind::Personal), expected);
    }

    #[test]
    fn a_table_of_the_system_names_users_and_its_folders_are_no_jobs() {
        let text = "SHELL=/bin/sh\n17 * * * * root cd / && run-parts --report /etc/cron.hourly\n25 6 * * * root test -x /usr/sbin/anacron || x\n47 6 * * 7 root test -x /usr/sbin/anacron || { cd / && run-parts --report /etc/cron.weekly; }\n0 3 * * * alice /etc/cron.daily/run\n0 3 * * * alice\n";
        let expected = [
            (4, "job", Some("root"), None),
            (5, "job", Some("alice"), None),
            (6, "nonsense", None, None),
        ];
        assert_eq!(told(text, Kind::System), expected);
    }

    #[test]
    fn a_zone_cannot_leave_its_folder() {
        for name in ["../../etc/passwd", "/etc/passwd", "", "a.b"] {
            assert!(!is_zone(name), "{name}");
        }
        assert!(is_zone("America/Argentina/Ushuaia") && is_zone("Etc/GMT+5"));
    }

    #[test]
    fn only_names_that_cron_reads_are_tables() {
        for (name, system, personal) in [
            ("backup", true, true),
            ("e2scrub_all", true, true),
            ("john.doe", false, true),
            ("x.dpkg-old", false, true),
            (".hidden", false, false),
            ("a~", false, false),
            ("tmp.Xa81Qd", false, false),
        ] {
            let told = [Kind::System, Kind::Personal].map(|kind| is_name(name, kind));
            assert_eq!(told, [system, personal], "{name}");
        }
    }
}
