//! What sshd says of a connection in the title of its process.
//!
//! `sshd: alice@pts/3` (`sshd-session:` since OpenSSH 9.8), written by `setproctitle` in `session.c` and `sshd.c`. The
//! title stays with the process when the daemon is restarted, and needs neither utmp nor logind.

/// A connection of sshd whose user has logged in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Login {
    /// The user's name as sshd knows it.
    pub(super) user: String,
    /// Whether it has a terminal.
    pub(super) terminal: bool,
}

/// Understands a title; none for the daemon, a monitor (`[priv]`) and a connection nobody has logged in on yet.
pub(super) fn parse(title: &[u8]) -> Option<Login> {
    let title = String::from_utf8_lossy(title);
    let title = title.trim_end_matches(['\0', ' ']);
    let rest = ["sshd: ", "sshd-session: "].iter().find_map(|name| title.strip_prefix(name))?;
    // States stand in brackets: [priv], [preauth], [net], [accepted], [listener].
    if rest.contains(" [") || rest.starts_with(['[', '/']) {
        return None;
    }
    // A name of a directory service may itself hold an @.
    let (user, terminals) = match rest.rsplit_once('@') {
        // A file transfer inside sshd is a process of its own, a child of the connection's.
        Some((_, "internal-sftp")) => return None,
        Some((user, "notty")) => (user, false),
        Some((user, place)) if place.starts_with("pts/") || place.starts_with("tty") => (user, true),
        _ => (rest, false),
    };
    if user.is_empty() || user == "unknown" || user.contains(' ') {
        return None;
    }
    Some(Login { user: user.to_owned(), terminal: terminals })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(title: &str) -> Option<(String, bool)> {
        parse(title.as_bytes()).map(|login| (login.user, login.terminal))
    }

    #[test]
    fn a_connection_is_the_same_in_every_version() {
        for name in ["sshd", "sshd-session"] {
            for (state, expected) in [
                ("alice", Some(("alice", false))),
                ("alice@notty", Some(("alice", false))),
                ("alice@pts/3", Some(("alice", true))),
                ("alice@pts/3,pts/4", Some(("alice", true))),
                ("root@pts/0", Some(("root", true))),
                ("alice@corp.example@pts/3", Some(("alice@corp.example", true))),
                ("alice@corp.example", Some(("alice@corp.example", false))),
                ("alice@notty\0\0\0", Some(("alice", false))),
                ("alice@internal-sftp", None),
                ("alice [priv]", None),
                ("alice [preauth]", None),
                ("unknown [net]", None),
                ("unknown", None),
                ("[accepted]", None),
                ("/usr/sbin/sshd -D [listener] 0 of 10-100 startups", None),
                ("", None),
            ] {
                let found = login(&format!("{name}: {state}"));
                let expected = expected.map(|(user, terminal)| (user.to_owned(), terminal));
                assert_eq!(found, expected, "{name}: {state}");
            }
        }
    }

    #[test]
    fn other_programs_are_no_connection() {
        for title in ["", "/usr/sbin/sshd\0-D", "sshd", "bash", "ssh alice@pts/3", "sshd-auth: alice"] {
            assert_eq!(login(title), None, "{title}");
        }
    }
}
