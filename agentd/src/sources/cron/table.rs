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

/// What a line of the system's tables runs is judged by this.
pub(super) struct Around<F> {
    /// Whether a script, or one of a folder's scripts, was made on this machine.
    pub(super) local: F,
    /// anacron is there, so a line that runs a folder only where it is not does nothing.
    pub(super) anacron: bool,
}

/// The jobs of a table with the numbers of their lines. Comments and settings are left out, and in a table of the system (`around` is
/// there) so are lines that run nothing but scripts below `/etc/cron.daily` and so on that packages brought.
pub(super) fn lines<'a, F: Fn(&str) -> bool>(
    text: &'a str,
    around: Option<&Around<F>>,
) -> Vec<(usize, Line<'a>)> {
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
        if around.is_some_and(|around| around.is_packages(line)) {
            continue;
        }
        // A minus in front keeps a job out of the log.
        let mut words = line.strip_prefix('-').unwrap_or(line).split_ascii_whitespace();
        let job = fields::parse(&mut words).and_then(|when| {
            let user = match around {
                Some(_) => Some(words.next()?),
                None => None,
            };
            words.next()?;
            Some(Line::Job { when, user, zone })
        });
        found.push((index + 1, job.unwrap_or(Line::Nonsense)));
    }
    found
}

impl<F: Fn(&str) -> bool> Around<F> {
    fn is_packages(&self, line: &str) -> bool {
        let runs = runs(line);
        let by_anacron = self.anacron && line.contains("-x /usr/sbin/anacron");
        !runs.is_empty() && (by_anacron || !runs.iter().any(|path| (self.local)(path)))
    }
}

/// The folders that a line gives to run-parts(8), and the scripts in such folders that it names.
fn runs(line: &str) -> Vec<&str> {
    let of_path = |other: char| other.is_ascii_alphanumeric() || "/._-".contains(other);
    let words = line.split_ascii_whitespace().map(|word| word.trim_matches(|c| !of_path(c)));
    let (mut found, mut by_run_parts) = (Vec::new(), false);
    for word in words {
        let path = word.trim_end_matches('/');
        let parts = path.strip_prefix("/etc/cron.").map(|rest| rest.matches('/').count());
        match parts {
            Some(0) if by_run_parts => found.push(path),
            Some(1) => found.push(path),
            _ => {}
        }
        // Its options stand between it and the folder.
        by_run_parts = word.rsplit('/').next() == Some("run-parts") || (by_run_parts && word.starts_with('-'));
    }
    found
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

/// Whether cron reads a file of that name. Of the system's tables Debian's cron passes over those with a dot in their name, such as
/// `backup.dpkg-old`; cronie (`not_a_crontab` of its `database.c`) reads all but what editors and rpm leave. Of users' tables both pass over
/// what editors and crontab(1) leave.
pub(super) fn is_name(name: &str, kind: Kind, debians: bool) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    let of_editors = name.starts_with(['.', '#']) || name.ends_with('~');
    let of_rpm = [".rpmsave", ".rpmorig", ".rpmnew"].iter().any(|end| name.ends_with(end));
    !name.is_empty()
        && match kind {
            Kind::System if debians => name.bytes().all(plain),
            Kind::System => !of_editors && !of_rpm,
            Kind::Personal => !of_editors && !name.starts_with("tmp."),
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
        let local = |path: &str| ["/etc/cron.weekly", "/etc/cron.daily/run"].contains(&path);
        let around = Around { local, anacron: false };
        let around = (kind == Kind::System).then_some(&around);
        lines(text, around).into_iter().map(tell).collect()
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
    fn a_table_of_the_system_names_users_and_what_packages_run_is_no_job() {
        let line = |command: &str| {
            let text = format!("0 3 * * * alice {command}\n");
            told(&text, Kind::System).first().map(|(_, what, user, _)| (*what, user.map(str::to_owned)))
        };
        for command in [
            "run",
            "/etc/cron.daily/run",
            "test -x /usr/sbin/anacron || { cd / && run-parts --report /etc/cron.weekly; }",
            "run-parts /etc/cron.daily && run-parts /etc/cron.weekly",
            "run-parts /usr/local/etc/cron.daily",
            "tar czf /backup/etc.tgz /etc/cron.d /etc/nginx",
            "backup / --exclude /etc/cron.daily",
            "/opt/reanacron",
        ] {
            assert_eq!(line(command), Some(("job", Some("alice".to_owned()))), "{command}");
        }
        for command in [
            "cd / && run-parts --report /etc/cron.hourly",
            "/usr/bin/run-parts /etc/cron.daily/",
            "test -x /usr/sbin/anacron || { cd / && run-parts --report /etc/cron.daily; }",
            // popularity-contest makes this table when it is installed.
            "test -x /etc/cron.daily/popularity-contest && /etc/cron.daily/popularity-contest --crond",
        ] {
            assert_eq!(line(command), None, "{command}");
        }
        assert_eq!(told("0 3 * * * alice\n", Kind::System), [(1, "nonsense", None, None)]);
    }

    #[test]
    fn where_anacron_is_there_a_line_for_a_machine_without_it_does_nothing() {
        let text = "25 6 * * * root test -x /usr/sbin/anacron || { cd / && run-parts --report /etc/cron.daily; }\n";
        for (anacron, jobs) in [(true, 0), (false, 1)] {
            assert_eq!(lines(text, Some(&Around { local: |_: &str| true, anacron })).len(), jobs);
        }
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
        for (name, debians, cronies, personal) in [
            ("backup", true, true, true),
            ("e2scrub_all", true, true, true),
            ("john.doe", false, true, true),
            ("backup.sh", false, true, true),
            ("x.rpmsave", false, false, true),
            (".hidden", false, false, false),
            ("a~", false, false, false),
            ("tmp.Xa81Qd", false, true, false),
        ] {
            let told = [
                is_name(name, Kind::System, true),
                is_name(name, Kind::System, false),
                is_name(name, Kind::Personal, true),
            ];
            assert_eq!(told, [debians, cronies, personal], "{name}");
        }
    }
}
