//! `config`: the daemon knows its own configuration, so it answers.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::Done;
use crate::cli::{ConfigArgs, ConfigVerb};
use crate::failure::Failure;
use crate::screen::Screen;

/// Where Debian puts the daemon.
const INSTALLED: &str = "/usr/sbin/agentd";

/// `agentctl config …`: becomes `agentd config …`, with its output and its exit code.
pub(super) fn config(screen: &Screen, args: &ConfigArgs) -> Done {
    become_daemon(|daemon| command(daemon, args, screen.json))
}

/// Becomes the daemon's program with the arguments that `command` gives it.
pub(super) fn become_daemon(command: impl Fn(&Path) -> Command) -> Done {
    let own = std::env::current_exe().ok();
    let daemon = daemon(own.as_deref(), Path::new(INSTALLED));
    let error = command(&daemon).exec();
    Err(Failure::local(format!("cannot run '{}': {error}", daemon.display()))
        .with_hint("install the package agentd, or put agentd beside agentctl"))
}

/// The daemon beside this program, else the installed one, else whichever is in `PATH`.
fn daemon(own: Option<&Path>, installed: &Path) -> PathBuf {
    let beside = own.map(|own| own.with_file_name("agentd")).filter(|path| path.is_file());
    beside.unwrap_or_else(|| {
        if installed.is_file() { installed.to_owned() } else { PathBuf::from("agentd") }
    })
}

fn command(daemon: &Path, args: &ConfigArgs, json: bool) -> Command {
    let mut command = Command::new(daemon);
    if let Some(file) = &args.config {
        command.arg("--config").arg(file);
    }
    command.arg("config");
    match &args.verb {
        ConfigVerb::Check => command.arg("check"),
        ConfigVerb::Show => command.arg("show"),
        ConfigVerb::Explain { key } => command.arg("explain").arg(key),
    };
    if json {
        command.arg("--json");
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_daemon_beside_comes_before_the_installed_one() {
        let folder = tempfile::tempdir().unwrap();
        let (own, beside) = (folder.path().join("agentctl"), folder.path().join("agentd"));
        let installed = folder.path().join("installed");
        assert_eq!(daemon(Some(&own), &installed), Path::new("agentd"));
        std::fs::write(&installed, "").unwrap();
        assert_eq!(daemon(Some(&own), &installed), installed);
        assert_eq!(daemon(None, &installed), installed);
        std::fs::write(&beside, "").unwrap();
        assert_eq!(daemon(Some(&own), &installed), beside);
    }

    #[test]
    fn the_call_is_that_of_the_daemon() {
        let args = ConfigArgs {
            config: Some("new.toml".into()),
            verb: ConfigVerb::Explain { key: "idle.act_after".into() },
        };
        let command = command(Path::new("agentd"), &args, true);
        let words: Vec<_> = command.get_args().collect();
        assert_eq!(
            words,
            ["--config", "new.toml", "config", "explain", "idle.act_after", "--json"]
        );
    }
}
