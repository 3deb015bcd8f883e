//! Who is at the other end of a connection, and what the user may do.

use core::fmt;
use std::io;
use std::sync::Arc;

use agent_core::input::Actor;
use agent_proto::ADMIN_GROUP;
use tokio::net::UnixStream;

use crate::host::HostRoot;

/// The most of `/etc/passwd` and `/etc/group` that is read.
const LIMIT: usize = 1 << 20;

/// Tells the user id at the other end.
pub type Identify = Arc<dyn Fn(&UnixStream) -> io::Result<u32> + Send + Sync>;

/// The kernel's word: the user id at the time of connect(2) (`SO_PEERCRED`, unix(7)). The process id is not used for
/// any decision, because it may belong to another process by now.
pub fn by_kernel() -> Identify {
    Arc::new(|stream| stream.peer_cred().map(|credentials| credentials.uid()))
}

/// Names and group membership from `/etc/passwd` and `/etc/group` (passwd(5), group(5)).
///
/// The name services of glibc are not asked: they may go over the network and hang. So a user whom only a directory
/// service knows is an administrator only by sudo. What cannot be read makes nobody an administrator.
#[derive(Clone)]
pub struct Accounts {
    root: HostRoot,
}

impl fmt::Debug for Accounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Accounts")
    }
}

impl Accounts {
    /// The accounts of the machine under `root`.
    pub fn new(root: HostRoot) -> Self {
        Self { root }
    }

    /// Who a user is, for the engine.
    pub fn actor(&self, uid: u32) -> Actor {
        let passwd = self.root.read_text("/etc/passwd", LIMIT).unwrap_or_default();
        let users: Vec<User<'_>> =
            passwd.lines().filter_map(User::parse).filter(|user| user.uid == uid).collect();
        let name = match users.first() {
            Some(user) => user.name.to_owned(),
            None if uid == 0 => "root".to_owned(),
            None => format!("uid {uid}"),
        };
        let admin = uid == 0 || {
            let group = self.root.read_text("/etc/group", LIMIT).unwrap_or_default();
            is_member(&group, &users)
        };
        Actor { uid, admin, name }
    }
}

/// An entry of `/etc/passwd`.
#[derive(Clone, Copy, Debug)]
struct User<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
}

impl<'a> User<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        Some(Self { name, uid, gid })
    }
}

fn is_member(group: &str, users: &[User<'_>]) -> bool {
    group.lines().any(|line| {
        let mut fields = line.split(':');
        if fields.next() != Some(ADMIN_GROUP) {
            return false;
        }
        let gid = fields.nth(1).and_then(|gid| gid.parse::<u32>().ok());
        let mut members = fields.next().unwrap_or_default().split(',').map(str::trim);
        users.iter().any(|user| Some(user.gid) == gid)
            || members.any(|member| users.iter().any(|user| user.name == member))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::tree::Tree;

    const PASSWD: &str = "root:x:0:0::/root:/bin/sh\nalice:x:1000:1000::/:/bin/sh\nbob:x:1001:1001::/:/bin/sh\n\
        carol:x:1002:998::/:/bin/sh\n";

    fn accounts(passwd: &str, group: &str) -> (Tree, Accounts) {
        let tree = Tree::new();
        tree.file("/etc/passwd", passwd);
        tree.file("/etc/group", group);
        let accounts = Accounts::new(tree.root());
        (tree, accounts)
    }

    #[test]
    fn root_and_members_of_the_group_are_administrators() {
        let (_tree, accounts) = accounts(PASSWD, "adm:x:4:bob\nagentd:x:998:alice,dave\n");
        for (uid, name, admin) in [
            (0, "root", true),
            (1000, "alice", true),
            (1001, "bob", false),
            (1002, "carol", true),
            (65_534, "uid 65534", false),
            (u32::MAX, "uid 4294967295", false),
        ] {
            assert_eq!(accounts.actor(uid), Actor { uid, admin, name: name.into() });
        }
    }

    #[test]
    fn similar_names_and_groups_give_nothing() {
        for group in [
            "agentd-admins:x:998:bob\n",
            "xagentd:x:997:bob\n",
            "agentd:x:997:bobby,bo\n",
            "agentd:x::\n",
            "agentd:x:997:\n",
            "agentd\n",
            "#agentd:x:997:bob\n",
        ] {
            let (_tree, accounts) = accounts(PASSWD, group);
            assert!(!accounts.actor(1001).admin, "{group}");
        }
    }

    #[test]
    fn a_user_without_a_name_is_not_the_empty_member() {
        let (_tree, accounts) = accounts(":x:1001:1001::/:\n", "agentd:x:997:,\n");
        assert!(!accounts.actor(1001).admin);
        assert!(!accounts.actor(7).admin);
    }

    #[test]
    fn unreadable_files_make_nobody_an_administrator_but_root() {
        let accounts = Accounts::new(Tree::new().root());
        assert!(!accounts.actor(1000).admin);
        assert_eq!(accounts.actor(0), Actor { uid: 0, admin: true, name: "root".into() });
    }
}
