//! The sessions that logind keeps a file of: `/run/systemd/sessions/ID`, lines of `KEY=VALUE`.
//!
//! libsystemd reads the same files for `sd_session_get_state(3)` and its kin. A machine without logind has none, and
//! nothing here is needed to know of a terminal or of a connection of sshd.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;

use super::users::is_ordinary;
use super::{HostError, HostRoot};

/// Where they are.
const FOLDER: &str = "/run/systemd/sessions";
/// The most of one file.
const LIMIT: usize = 16 << 10;
/// The most sessions.
const SESSIONS: usize = 8192;

/// One session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// Its id: `42`, `c5`.
    pub id: String,
    /// The user.
    pub uid: u32,
    /// `TYPE=`: `tty`, `x11`, `wayland`, `mir`, `web`, `unspecified`.
    pub kind: String,
    /// `CLASS=`: `user`, `greeter`, `lock-screen`, `background`, `manager`.
    pub class: String,
    /// `STATE=`: `opening`, `online`, `active`, `closing`.
    pub state: String,
}

impl Login {
    /// Whether it is a person's desktop that has not been left: a session of class `user` on a graphical display. A
    /// session that is closing was left by its user, whatever still runs in it.
    pub fn is_desktop(&self) -> bool {
        let graphical = ["x11", "wayland", "mir"].contains(&self.kind.as_str());
        let person = self.class == "user" || self.class.starts_with("user-");
        graphical && person && ["active", "online"].contains(&self.state.as_str())
    }
}

/// A number that changes when a session comes, goes or changes; none if there is no logind.
pub fn version(root: &HostRoot) -> Result<Option<(i64, i64)>, HostError> {
    let metadata = root.inspect(FOLDER)?;
    Ok(metadata.map(|metadata| (metadata.mtime(), metadata.mtime_nsec())))
}

/// The sessions. A file without user or type is left out; one that goes in between is no error.
pub fn read(root: &HostRoot) -> Result<Vec<Login>, HostError> {
    let names = match root.names(FOLDER, SESSIONS) {
        Err(error) if error.is_missing() => return Ok(Vec::new()),
        other => other?,
    };
    let mut logins = Vec::new();
    // Beside each file there is a FIFO, `ID.ref`, which must not be opened: that would say that somebody is there.
    for id in names.into_iter().filter(|name| !name.contains('.')) {
        let path = format!("{FOLDER}/{id}");
        if !root.inspect(&path)?.is_some_and(|metadata| metadata.is_file()) {
            continue;
        }
        let mut text = Vec::new();
        match root.read_into(&path, LIMIT, &mut text) {
            Ok(()) => logins.extend(parse(id, &String::from_utf8_lossy(&text))),
            Err(error) if error.is_missing() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(logins)
}

/// Users of the system who do nothing but show where to log in: those of display managers.
#[derive(Debug, Default)]
pub struct Greeters {
    version: Option<(i64, i64)>,
    uids: BTreeSet<u32>,
}

impl Greeters {
    /// Looks whether sessions came or went. Where they cannot be read, nobody is known to be one.
    pub fn look(&mut self, root: &HostRoot) {
        let now = version(root).ok().flatten();
        if now.is_none() || now != self.version {
            let logins = read(root).unwrap_or_default();
            let greets = |login: &&Login| login.class == "greeter" && !is_ordinary(login.uid);
            self.uids = logins.iter().filter(greets).map(|login| login.uid).collect();
            // Whoever has logged in as that user works.
            for login in logins.iter().filter(|login| login.class.starts_with("user")) {
                self.uids.remove(&login.uid);
            }
            self.uids.remove(&0);
            self.version = now;
        }
    }

    /// Whether this user is one.
    pub fn contains(&self, uid: u32) -> bool {
        self.uids.contains(&uid)
    }
}

fn parse(id: String, text: &str) -> Option<Login> {
    let value = |key: &str| {
        text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('=')).map(str::trim)
    };
    let owned = |key| value(key).unwrap_or_default().to_owned();
    Some(Login {
        id,
        uid: value("UID")?.parse().ok()?,
        kind: value("TYPE")?.to_owned(),
        class: owned("CLASS"),
        state: owned("STATE"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::tree::Tree;

    fn session(tree: &Tree, id: &str, kind: &str, class: &str, state: &str) {
        let text = format!(
            "# This is private data. Do not parse.\nUID=1000\nUSER=alice\nACTIVE=1\nSTATE={state}\nREMOTE=0\nTYPE={kind}\nORIGINAL_TYPE={kind}\nCLASS={class}\nSCOPE=session-{id}.scope\n"
        );
        tree.file(&format!("{FOLDER}/{id}"), text);
    }

    #[test]
    fn sessions_are_read_and_their_fifos_are_not() {
        let tree = Tree::new();
        assert_eq!(read(&tree.root()).unwrap(), []);
        assert_eq!(version(&tree.root()).unwrap(), None);
        session(&tree, "42", "tty", "user", "active");
        tree.file(&format!("{FOLDER}/42.ref"), "UID=1\nTYPE=tty\n");
        tree.folder(&format!("{FOLDER}/odd"));
        let logins = read(&tree.root()).unwrap();
        assert_eq!(logins.len(), 1);
        assert_eq!((logins[0].id.as_str(), logins[0].uid), ("42", 1000));
        assert_eq!((logins[0].kind.as_str(), logins[0].state.as_str()), ("tty", "active"));
        assert!(version(&tree.root()).unwrap().is_some());
    }

    #[test]
    fn only_a_persons_graphical_session_that_was_not_left_is_a_desktop() {
        let tree = Tree::new();
        for (id, kind, class, state, expected) in [
            ("1", "x11", "user", "active", true),
            ("2", "wayland", "user", "online", true),
            ("3", "x11", "user", "closing", false),
            ("4", "x11", "greeter", "active", false),
            ("5", "x11", "lock-screen", "active", false),
            ("6", "tty", "user", "active", false),
            ("7", "unspecified", "manager", "active", false),
            ("8", "wayland", "user-early", "active", true),
        ] {
            session(&tree, id, kind, class, state);
            let login = read(&tree.root()).unwrap().into_iter().find(|login| login.id == id);
            assert_eq!(login.unwrap().is_desktop(), expected, "{kind} {class} {state}");
        }
    }

    #[test]
    fn who_only_shows_where_to_log_in_is_known_until_somebody_does_as_that_user() {
        let tree = Tree::new();
        let session = |id: &str, uid: u32, class: &str| {
            let text = format!("UID={uid}\nSTATE=active\nTYPE=wayland\nCLASS={class}\n");
            tree.file(&format!("{FOLDER}/{id}"), text);
        };
        let greets = |uid: u32| {
            let mut greeters = Greeters::default();
            greeters.look(&tree.root());
            greeters.contains(uid)
        };
        assert!(!greets(42), "no logind");
        for (id, uid, class) in [
            ("c1", 42, "greeter"),
            ("c2", 42, "manager"),
            ("3", 1000, "greeter"),
            ("4", 0, "greeter"),
        ] {
            session(id, uid, class);
        }
        assert_eq!([42, 1000, 0, 43].map(greets), [true, false, false, false]);
        session("5", 42, "user");
        assert!(!greets(42), "somebody works as that user");
        tree.file(&format!("{FOLDER}/6"), "UID=1\n".repeat(10_000));
        assert!(!greets(42), "what cannot be read says nothing");
    }

    #[test]
    fn garbage_is_left_out() {
        let tree = Tree::new();
        for (id, text) in [("1", ""), ("2", "UID=x\nTYPE=tty\n"), ("3", "UID=1\n"), ("4", "\u{0}=")]
        {
            tree.file(&format!("{FOLDER}/{id}"), text);
        }
        assert_eq!(read(&tree.root()).unwrap(), []);
        tree.file(&format!("{FOLDER}/5"), "UID=1\n".repeat(10_000));
        assert!(read(&tree.root()).is_err());
    }
}
