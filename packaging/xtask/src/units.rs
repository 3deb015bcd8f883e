//! The systemd units: known directives only, and an exposure below the gate.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::command::Tool;
use crate::steps::Trouble;
use crate::workspace::Workspace;

/// The highest exposure that passes, in tenths, as `systemd-analyze security` counts it.
const THRESHOLD: u32 = 22;

/// `systemd-analyze verify` without a word, and `systemd-analyze security` at most at the gate.
pub(crate) fn check(workspace: &Workspace) -> Result<String, Trouble> {
    if !crate::command::exists("systemd-analyze") {
        return Err(Trouble::Skipped("no systemd-analyze here".to_owned()));
    }
    verify(workspace)?;
    let security =
        format!("systemd-analyze security --offline=yes --no-pager --threshold={THRESHOLD}");
    let text = Tool::new(&workspace.root, &security).arg("systemd/agentd.service").output()?;
    let exposure = text.lines().rfind(|line| line.contains("Overall exposure level"));
    let exposure = exposure.unwrap_or_default().trim_start_matches(['→', ' ']).trim();
    println!("{exposure}");
    Ok(exposure.to_owned())
}

/// Verifies copies whose programs exist, because `verify` also looks for what `ExecStart=` names.
fn verify(workspace: &Workspace) -> Result<(), Trouble> {
    let root = workspace.target.join("units");
    let failed = |error: std::io::Error| Trouble::Failed(format!("{}: {error}", root.display()));
    let _ = fs::remove_dir_all(&root);
    fs::create_dir_all(&root).map_err(failed)?;
    let program = root.join("agentd");
    fs::write(&program, "#!/bin/sh\n").map_err(failed)?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).map_err(failed)?;
    for name in ["agentd.service", "agentd.socket"] {
        let text = fs::read_to_string(workspace.path("systemd").join(name)).map_err(failed)?;
        let text = text.replace("/usr/sbin/agentd", &program.to_string_lossy());
        fs::write(root.join(name), text).map_err(failed)?;
    }
    let text = silent(&root)?;
    // Man pages that are not installed here are no fault of the unit.
    let faults: Vec<&str> =
        text.lines().filter(|line| line.contains("agentd.") && !line.contains("man ")).collect();
    if faults.is_empty() { Ok(()) } else { Err(Trouble::Failed(faults.join("\n"))) }
}

/// What `systemd-analyze verify` complains about, on both outputs.
fn silent(folder: &Path) -> Result<String, Trouble> {
    let line = "systemd-analyze verify --man=no --recursive-errors=no ./agentd.service ./agentd.socket 2>&1 || true";
    println!("$ {line}");
    Tool::new(folder, "sh -c").arg(line).output()
}
