//! The Debian packages that building, checking and packaging need, and how they get here.

use nix::unistd::geteuid;

use crate::command::Tool;
use crate::steps::Trouble;
use crate::workspace::Workspace;

/// A Debian package and what it is for.
#[derive(Clone, Copy, Debug)]
struct Needed {
    package: &'static str,
    why: &'static str,
}

const NEEDED: &[Needed] = &[
    Needed { package: "bash-completion", why: "debhelper's add-on for completions" },
    Needed {
        package: "build-essential",
        why: "linker, C compiler of the TLS crate, dpkg-buildpackage",
    },
    Needed { package: "ca-certificates", why: "TLS to the registry of crates and of test tools" },
    Needed { package: "dbus", why: "private buses of the tests" },
    Needed { package: "debhelper", why: "builds the package" },
    Needed { package: "fakeroot", why: "builds the package as an ordinary user" },
    Needed { package: "iproute2", why: "network namespaces of the end-to-end tests" },
    Needed { package: "lintian", why: "checks the package" },
    Needed { package: "mandoc", why: "checks the man pages" },
    Needed { package: "mmdebstrap", why: "makes the Debian of the end-to-end tests" },
    Needed { package: "openssh-client", why: "logs in to it as a person does" },
    Needed { package: "python3", why: "runs the end-to-end tests" },
    Needed { package: "python3-venv", why: "holds the EC2 simulator of the end-to-end tests" },
    Needed { package: "shellcheck", why: "checks the scripts" },
    Needed { package: "systemd", why: "checks the units (systemd-analyze)" },
    Needed { package: "systemd-container", why: "boots the Debian of the end-to-end tests" },
    Needed { package: "tmux", why: "a window that was left open, in the cells" },
];

/// Installs what is missing when root; otherwise fails and names the command that does.
pub(crate) fn install(workspace: &Workspace) -> Result<String, Trouble> {
    let status = Tool::new(&workspace.root, "dpkg-query --show --showformat")
        .arg("${Package} ${db:Status-Status}\n")
        .output()
        .map_err(|_| Trouble::Skipped("no dpkg here: not a Debian or Ubuntu".to_owned()))?;
    let missing = missing(&status);
    if missing.is_empty() {
        return Ok(format!("{} Debian packages are here", NEEDED.len()));
    }
    for needed in &missing {
        println!("missing: {:<20} {}", needed.package, needed.why);
    }
    let names: Vec<&str> = missing.iter().map(|needed| needed.package).collect();
    let line = format!("apt-get install --yes --no-install-recommends {}", names.join(" "));
    if !geteuid().is_root() {
        return Err(Trouble::Failed(format!("Debian packages are missing; run: sudo {line}")));
    }
    let install =
        || Tool::new(&workspace.root, &line).env("DEBIAN_FRONTEND", "noninteractive").run();
    // The lists of a fresh machine are empty or old; a machine that has them needs no network for that.
    if install().is_err() {
        Tool::new(&workspace.root, "apt-get update --quiet").run()?;
        install()?;
    }
    Ok(format!("installed {}", names.join(" ")))
}

/// What is needed and not in a list of lines `package installed`.
fn missing(status: &str) -> Vec<Needed> {
    let here = |package: &str| {
        status.lines().any(|line| {
            line.split_once(' ')
                .is_some_and(|(name, status)| name == package && status.trim() == "installed")
        })
    };
    NEEDED.iter().filter(|needed| !here(needed.package)).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_that_was_removed_but_not_purged_is_missing() {
        let all = NEEDED
            .iter()
            .map(|needed| format!("{} installed", needed.package))
            .collect::<Vec<_>>()
            .join("\n");
        assert!(missing(&all).is_empty());
        let removed = all.replace("lintian installed", "lintian config-files");
        assert_eq!(missing(&removed).len(), 1);
        assert_eq!(missing("").len(), NEEDED.len());
    }

    #[test]
    fn the_table_is_sorted_and_says_why() {
        assert!(NEEDED.is_sorted_by_key(|needed| needed.package));
        assert!(NEEDED.iter().all(|needed| !needed.why.is_empty()));
    }
}
