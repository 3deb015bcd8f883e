//! Units that a file names and this machine does not have: a setting without effect, which nobody would notice.
//!
//! It is asked for by `config check` alone. A unit may come later than its configuration, so it is no error.

use std::collections::BTreeSet;

use super::Loaded;
use super::effective::{Entry, Origin};
use super::nearest;
use super::problem::Problem;
use super::value::Value;
use crate::host::HostRoot;
use crate::host::cgroup::Hierarchy;
use crate::host::units::{FOLDERS, file_of};

/// Units of the managers of users (systemd.unit(5), "Unit File Load Path", user mode).
const OF_USERS: [&str; 5] = [
    "/etc/systemd/user",
    "/run/systemd/user",
    "/usr/local/lib/systemd/user",
    "/usr/lib/systemd/user",
    "/lib/systemd/user",
];
/// The most unit files in a folder.
const FILES: usize = 8192;
/// What a masked unit leads to (systemctl(1), `mask`).
const MASKED: &str = "/dev/null";

/// A warning for every unit that a file names and that can never match on this machine as it is. A machine that cannot be
/// looked at gives none: nothing is claimed of what is not known.
pub fn absent_units(loaded: &Loaded, host: &HostRoot) -> Vec<Problem> {
    let mut machine = Machine { host, running: None };
    let entries = loaded.effective.entries().iter();
    let named =
        entries.flat_map(|entry| units_of(entry).into_iter().map(move |unit| (entry, unit)));
    named.filter_map(|(entry, unit)| machine.problem(entry, &unit)).collect()
}

/// The units that a file names with a key, with their endings.
fn units_of(entry: &Entry) -> Vec<String> {
    if !matches!(entry.origin, Origin::File(_)) {
        return Vec::new();
    }
    let own = entry.key.strip_suffix("\".busy_above").and_then(|key| key.split_once(".unit.\""));
    let list = entry.key == "upkeep.units"
        || (entry.key.starts_with("source.")
            && entry.key.rsplit_once('.').is_some_and(|(_, key)| key == "units"));
    match (&entry.value, own) {
        (_, Some((_, unit))) => vec![whole(unit)],
        (Value::Texts(names), None) if list => names.iter().map(|name| whole(name)).collect(),
        _ => Vec::new(),
    }
}

/// The name with its ending.
fn whole(name: &str) -> String {
    if name.contains('.') { name.to_owned() } else { format!("{name}.service") }
}

/// What the machine has.
struct Machine<'a> {
    host: &'a HostRoot,
    /// The names of all control groups; read when they are asked for first.
    running: Option<BTreeSet<String>>,
}

impl Machine<'_> {
    fn problem(&mut self, entry: &Entry, unit: &str) -> Option<Problem> {
        let warn = |message: String, hint: Option<String>| {
            let problem = Problem::warning(entry.origin.place().cloned(), &entry.key, message);
            let problem = problem.with_value(&format!("\"{unit}\""));
            match hint {
                Some(hint) => problem.with_hint(hint),
                None => problem,
            }
        };
        match self.file(unit) {
            Ok(Some(path)) => {
                let target = std::fs::read_link(self.host.path(&path)).ok()?;
                if target.as_os_str() == MASKED {
                    return Some(warn("is masked and never runs".to_owned(), None));
                }
                let target = target.file_name()?.to_str()?;
                let alias = target.ends_with(".service") && target != unit && !target.contains('@');
                // The control group carries the name of the unit itself, not that of an alias.
                (alias && !unit.contains('@')).then(|| {
                    let message =
                        format!("is another name of {target}, and what runs is called by that");
                    warn(message, Some(format!("name \"{target}\"")))
                })
            }
            Ok(None) if !self.running().contains(unit) => {
                let near = self.nearest(unit);
                let hint = near.map(|near| format!("did you mean \"{near}\"?"));
                Some(warn("is no unit of this machine, so it has no effect".to_owned(), hint))
            }
            Ok(None) | Err(_) => None,
        }
    }

    /// The file of a unit of the system or of users.
    fn file(&self, unit: &str) -> Result<Option<String>, crate::host::HostError> {
        if let Some(path) = file_of(self.host, unit)? {
            return Ok(Some(path));
        }
        for folder in OF_USERS {
            let path = format!("{folder}/{unit}");
            if self.host.is_entry(&path)? {
                return Ok(Some(path));
            }
        }
        Ok(None)
    }

    /// What runs: units without a file, such as scopes, and containers.
    fn running(&mut self) -> &BTreeSet<String> {
        let host = self.host;
        self.running.get_or_insert_with(|| {
            let hierarchy = Hierarchy::find_unified(host).or_else(|_| Hierarchy::find(host));
            let groups = hierarchy.ok().flatten().and_then(|found| found.ids().ok());
            let last = |(_, path): (u64, String)| path.rsplit('/').next().map(str::to_owned);
            groups.unwrap_or_default().into_iter().filter_map(last).collect()
        })
    }

    /// The unit that a misspelt one resembles most.
    fn nearest(&mut self, unit: &str) -> Option<String> {
        let (_, kind) = unit.rsplit_once('.')?;
        let mut names = self.running().clone();
        for folder in FOLDERS.iter().chain(&OF_USERS) {
            names.extend(self.host.names(folder, FILES).unwrap_or_default());
        }
        let stem = |name: &str| {
            let stem = name.strip_suffix(kind)?.strip_suffix('.')?;
            (!stem.ends_with('@')).then(|| stem.to_owned())
        };
        let stems: Vec<String> = names.iter().filter_map(|name| stem(name)).collect();
        let near = nearest::of(&stem(unit)?, stems.iter().map(String::as_str))?;
        Some(format!("{near}.{kind}"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::sources;
    use super::super::{LoadFrom, load};
    use super::*;
    use crate::host::tree::Tree;

    /// What is said of a configuration on a machine with some units.
    fn said(text: &str) -> Vec<String> {
        let tree = Tree::new();
        for file in [
            "/etc/systemd/system/game.service",
            "/usr/lib/systemd/system/postgresql@.service",
            "/usr/lib/systemd/system/postgresql.service",
            "/usr/lib/systemd/system/ssh.service",
            "/usr/lib/systemd/user/pipewire.service",
        ] {
            tree.file(file, "[Service]\n");
        }
        let link = |target: &str, path: &str| {
            std::os::unix::fs::symlink(target, tree.path(path)).unwrap();
        };
        link("/lib/systemd/system/ssh.service", "/etc/systemd/system/sshd.service");
        link("/dev/null", "/etc/systemd/system/off.service");
        tree.file("/sys/fs/cgroup/cgroup.controllers", "cpu");
        tree.file("/sys/fs/cgroup/system.slice/work.scope/cgroup.procs", "");
        let file = tree.path("/agentd.toml");
        std::fs::write(&file, text).unwrap();
        let loaded = load(&LoadFrom::File(file.clone()), &sources()).unwrap();
        let name = format!("{}", file.display());
        let problems = absent_units(&loaded, &tree.root());
        problems.iter().map(|problem| problem.to_string().replace(&name, "f")).collect()
    }

    #[test]
    fn a_unit_that_does_not_exist_is_named_with_its_place_and_the_nearest() {
        assert_eq!(
            said("[upkeep]\nunits = [\"game\", \"postgrsql.service\"]\n"),
            [
                "f:2:9: warning: upkeep.units = \"postgrsql.service\": is no unit of this machine, so it has no effect; did you \
              mean \"postgresql.service\"?"
            ]
        );
        assert_eq!(
            said("[source.cpu]\nunits = [\"nothing-like-it\"]\n"),
            [
                "f:2:9: warning: source.cpu.units = \"nothing-like-it.service\": is no unit of this machine, so it has no effect"
            ]
        );
        assert_eq!(
            said("[source.cpu.unit.\"gaem.service\"]\nbusy_above = 0.3\n"),
            [
                "f:2:14: warning: source.cpu.unit.\"gaem.service\".busy_above = \"gaem.service\": is no unit of this machine, so \
              it has no effect; did you mean \"game.service\"?"
            ]
        );
    }

    #[test]
    fn units_that_exist_run_or_are_made_of_a_template_are_fine() {
        let fine = "source.cpu.units = [\"game\", \"postgresql@15-main\", \"work.scope\", \"pipewire.service\"]";
        assert_eq!(said(fine), Vec::<String>::new());
    }

    #[test]
    fn a_name_that_is_an_alias_or_masked_never_matches() {
        assert_eq!(
            said("upkeep.units = [\"sshd\"]"),
            [
                "f:1:16: warning: upkeep.units = \"sshd.service\": is another name of ssh.service, and what runs is called by \
              that; name \"ssh.service\""
            ]
        );
        assert_eq!(
            said("upkeep.units = [\"off.service\"]"),
            ["f:1:16: warning: upkeep.units = \"off.service\": is masked and never runs"]
        );
    }

    #[test]
    fn defaults_are_not_looked_for() {
        assert_eq!(said("mode = \"observe\"\n"), Vec::<String>::new());
    }
}
