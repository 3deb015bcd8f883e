//! User names from `/etc/passwd` (passwd(5)).
//!
//! The name services of glibc are not asked: they may go over the network and hang. A user whom only a directory
//! service knows is shown by number.

use std::time::SystemTime;

use super::HostRoot;

/// The most of `/etc/passwd` that is read.
const LIMIT: usize = 1 << 20;

/// Names by user id, read again when the file changes.
#[derive(Debug)]
pub struct Users {
    root: HostRoot,
    read: Option<(SystemTime, u64)>,
    names: Vec<(u32, String)>,
}

impl Users {
    /// Names of the machine under `root`. Nothing is read yet.
    pub fn new(root: HostRoot) -> Self {
        Self { root, read: None, names: Vec::new() }
    }

    /// The name of a user, or `uid N`.
    pub fn name(&mut self, uid: u32) -> String {
        self.refresh();
        match self.names.iter().find(|(id, _)| *id == uid) {
            Some((_, name)) => name.clone(),
            None => format!("uid {uid}"),
        }
    }

    fn refresh(&mut self) {
        let Ok(Some(metadata)) = self.root.inspect("/etc/passwd") else { return };
        let version = metadata.modified().ok().map(|modified| (modified, metadata.len()));
        if version.is_some() && version == self.read {
            return;
        }
        let mut buffer = Vec::new();
        if self.root.read_into("/etc/passwd", LIMIT, &mut buffer).is_ok() {
            self.names = String::from_utf8_lossy(&buffer).lines().filter_map(entry).collect();
            self.read = version;
        }
    }
}

/// Whether a uid belongs to a person or to a service that a person set up, rather than to the system: at least 1000,
/// and neither `nobody` nor one of systemd's dynamic users (61184 to 65519, systemd.exec(5)). Directory services use
/// numbers far above.
pub fn is_ordinary(uid: u32) -> bool {
    uid >= 1000 && !(61_184..=65_535).contains(&uid)
}

fn entry(line: &str) -> Option<(u32, String)> {
    let mut fields = line.split(':');
    let name = fields.next().filter(|name| !name.is_empty())?;
    let uid = fields.nth(1)?.parse().ok()?;
    Some((uid, name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::tree::Tree;

    #[test]
    fn a_name_is_found_and_an_unknown_user_is_a_number() {
        let tree = Tree::new();
        tree.file(
            "/etc/passwd",
            "root:x:0:0::/root:/bin/sh\nalice:x:1000:1000:Alice:/home/alice:/bin/sh\n",
        );
        let mut users = Users::new(tree.root());
        assert_eq!(users.name(0), "root");
        assert_eq!(users.name(1000), "alice");
        assert_eq!(users.name(1001), "uid 1001");
    }

    #[test]
    fn a_user_added_later_is_found() {
        let tree = Tree::new();
        tree.file("/etc/passwd", "root:x:0:0::/root:/bin/sh\n");
        let mut users = Users::new(tree.root());
        assert_eq!(users.name(1000), "uid 1000");
        tree.file("/etc/passwd", "root:x:0:0::/root:/bin/sh\nbob:x:1000:1000::/:/bin/sh\n");
        assert_eq!(users.name(1000), "bob");
    }

    #[test]
    fn garbage_and_absence_give_numbers() {
        let tree = Tree::new();
        let mut users = Users::new(tree.root());
        assert_eq!(users.name(7), "uid 7");
        tree.file("/etc/passwd", [b':', 0xff, b'\n', b'x', b':', b'y', b':', b'z', b'\n']);
        assert_eq!(users.name(7), "uid 7");
    }

    #[test]
    fn people_are_told_apart_from_the_system() {
        for uid in [1000, 1001, 60_000, 65_536, 1_234_567_890] {
            assert!(is_ordinary(uid), "{uid}");
        }
        for uid in [0, 33, 999, 61_184, 65_519, 65_534, 65_535] {
            assert!(!is_ordinary(uid), "{uid}");
        }
    }
}
