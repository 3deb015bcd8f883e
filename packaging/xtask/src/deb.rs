//! The Debian package: built in a copy of what it is made of, so that the working tree stays clean.

use std::fs;
use std::path::{Path, PathBuf};

use crate::command::Tool;
use crate::steps::Trouble;
use crate::workspace::Workspace;

/// What the source tree of the package is made of when the programs were built before.
const PARTS: &[&str] = &["debian", "systemd", "packaging", "LICENSE", "README.md"];

fn folder(workspace: &Workspace) -> PathBuf {
    workspace.target.join("deb")
}

/// Builds `target/deb/agentd_VERSION_ARCH.deb` from the programs in `target/release`.
pub(crate) fn build(workspace: &Workspace) -> Result<String, Trouble> {
    let out = folder(workspace);
    let tree = out.join("agentd");
    let failed = |error: std::io::Error| Trouble::Failed(format!("{}: {error}", out.display()));
    if out.exists() {
        fs::remove_dir_all(&out).map_err(failed)?;
    }
    fs::create_dir_all(&tree).map_err(failed)?;
    for part in PARTS {
        // A copy with links kept: debian/ links to systemd/.
        Tool::new(&workspace.root, "cp --archive").arg(part).arg(&tree).output()?;
    }
    Tool::new(&tree, "dpkg-buildpackage --no-sign --build=binary")
        .env("AGENTD_PREBUILT", workspace.target.join("release"))
        .run()?;
    let deb = file(workspace)?;
    let size = fs::metadata(&deb).map_err(failed)?.len();
    Ok(format!("{} ({} KiB)", deb.display(), size / 1024))
}

/// The package that [`build`] left. Fails, with a remedy, when there is none.
pub(crate) fn file(workspace: &Workspace) -> Result<PathBuf, Trouble> {
    let out = folder(workspace);
    find(&out).ok_or_else(|| {
        Trouble::Failed(format!(
            "find the package in '{}': run `cargo xtask deb` first",
            out.display()
        ))
    })
}

fn find(out: &Path) -> Option<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(out)
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            path.extension().is_some_and(|extension| extension == "deb")
                && path
                    .file_name()
                    .is_some_and(|name| name.to_string_lossy().starts_with("agentd_"))
        })
        .collect();
    found.sort();
    found.pop()
}

/// No error and no warning of lintian; its informations are shown.
pub(crate) fn lint(workspace: &Workspace) -> Result<String, Trouble> {
    let text =
        Tool::new(&folder(workspace), "lintian -EvIL +pedantic --allow-root --tag-display-limit 0")
            .arg(file(workspace)?)
            .arg("--fail-on=none")
            .tee()?;
    let faults: Vec<&str> = faults(&text);
    if faults.is_empty() {
        Ok("no error, no warning".to_owned())
    } else {
        Err(Trouble::Failed(format!("{} errors or warnings: {}", faults.len(), faults.join(" · "))))
    }
}

/// The lines of lintian that are errors or warnings.
fn faults(text: &str) -> Vec<&str> {
    text.lines().filter(|line| line.starts_with("E:") || line.starts_with("W:")).collect()
}

/// The files of the package are exactly those of `packaging/doc/files.txt`.
pub(crate) fn contents(workspace: &Workspace) -> Result<String, Trouble> {
    let listing =
        Tool::new(&workspace.root, "dpkg-deb --contents").arg(file(workspace)?).output()?;
    let shipped = paths(&listing);
    let expected = fs::read_to_string(workspace.path("packaging/doc/files.txt"))
        .map_err(|error| Trouble::Failed(format!("packaging/doc/files.txt: {error}")))?;
    let expected: Vec<&str> = expected.lines().collect();
    let missing = expected.iter().filter(|path| !shipped.iter().any(|other| other == *path));
    let surplus = shipped.iter().filter(|path| !expected.contains(&path.as_str()));
    let mut faults: Vec<String> = missing.map(|path| format!("missing {path}")).collect();
    faults.extend(surplus.map(|path| format!("not expected {path}")));
    if faults.is_empty() {
        Ok(format!("{} files", shipped.len()))
    } else {
        for fault in &faults {
            println!("{fault}");
        }
        Err(Trouble::Failed(format!("{} differences to packaging/doc/files.txt", faults.len())))
    }
}

/// The files, not the folders, of a `dpkg-deb --contents` listing, sorted. `/lib` is `/usr/lib` on a merged system.
fn paths(listing: &str) -> Vec<String> {
    let mut paths: Vec<String> = listing
        .lines()
        .filter_map(|line| line.split_whitespace().nth(5))
        .filter(|path| !path.ends_with('/'))
        .map(|path| {
            path.trim_start_matches('.').replacen(
                "/usr/lib/systemd/system/",
                "/lib/systemd/system/",
                1,
            )
        })
        .collect();
    paths.sort();
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_errors_and_warnings_of_lintian_count() {
        let text =
            "N: note\nI: agentd: info\nP: agentd: pedantic\nW: agentd: warning\nE: agentd: error\n";
        assert_eq!(faults(text), ["W: agentd: warning", "E: agentd: error"]);
    }

    #[test]
    fn a_listing_gives_files_without_folders_in_one_spelling() {
        let listing = "\
drwxr-xr-x root/root         0 2026-11-22 00:00 ./usr/sbin/
-rwxr-xr-x root/root     14736 2026-11-22 00:00 ./usr/sbin/agentd
-rw-r--r-- root/root       100 2026-11-22 00:00 ./usr/lib/systemd/system/agentd.service
-rw-r--r-- root/root       100 2026-11-22 00:00 ./etc/agentd/agentd.toml
";
        assert_eq!(
            paths(listing),
            ["/etc/agentd/agentd.toml", "/lib/systemd/system/agentd.service", "/usr/sbin/agentd"]
        );
    }

    #[test]
    fn without_a_package_the_remedy_is_named() {
        let workspace = Workspace { root: "/nowhere".into(), target: "/nowhere".into() };
        assert!(file(&workspace).unwrap_err().to_string().contains("cargo xtask deb"));
    }
}
