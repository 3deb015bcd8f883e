//! Whether a program may be run as root: only when nobody but root can have changed it.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::unistd::geteuid;

use super::logind::BusMode;

/// systemd-run(1).
pub const SYSTEMD_RUN: &str = "/usr/bin/systemd-run";
/// The only path that a program is given.
pub const SEARCH_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Bits of the mode with which somebody other than the owner can write.
const OTHERS_WRITE: u32 = 0o022;
/// Any of the execute bits.
const EXECUTE: u32 = 0o111;

/// Whether programs are started through systemd, as transient units outside of the agent's sandbox: where the agent is a
/// service of it. Its private socket is open to root alone.
pub fn starts_by_systemd(bus: &BusMode) -> bool {
    *bus == BusMode::System
        && geteuid().is_root()
        && Path::new("/run/systemd/private").exists()
        && Path::new(SYSTEMD_RUN).exists()
}

/// Checks every component of an absolute path: owned by root (or by whom the agent runs as, which is root outside of
/// tests), writable by nobody else, no symbolic link, and a program at its end. `what` is what the program is for people
/// (`hook`, `probe`). The error names the component.
pub fn inspect(path: &Path, what: &str) -> Result<(), String> {
    if !path.is_absolute() {
        return Err(format!("the {what} '{}' is not an absolute path", path.display()));
    }
    let agent = geteuid().as_raw();
    let mut components: Vec<&Path> = path.ancestors().collect();
    components.reverse();
    for component in components {
        let shown = component.display();
        let metadata = std::fs::symlink_metadata(component)
            .map_err(|error| format!("the {what}'s '{shown}' cannot be read: {error}"))?;
        check(&metadata, agent)
            .map_err(|fault| format!("'{shown}' {fault}, so the {what} is not run"))?;
        let is_program = component == path;
        if is_program && !(metadata.is_file() && metadata.mode() & EXECUTE != 0) {
            return Err(format!(
                "the {what} '{shown}' is not an executable file; make it one with chmod 0755"
            ));
        }
    }
    Ok(())
}

fn check(metadata: &Metadata, agent: u32) -> Result<(), String> {
    if metadata.is_symlink() {
        return Err("is a symbolic link (name the real path)".to_owned());
    }
    let owner = metadata.uid();
    if owner != 0 && owner != agent {
        return Err(format!("belongs to uid {owner} and not to root"));
    }
    if metadata.mode() & OTHERS_WRITE != 0 {
        return Err("can be written by its group or by everybody".to_owned());
    }
    Ok(())
}
