//! Hooks that the real agent accepts, and what they say of their runs.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::unistd::geteuid;

/// A folder in which a hook is accepted: every folder above belongs to root or to the own user and is writable for nobody
/// else. `first` is tried before the home folder and `/var/lib`; none: no folder here would be accepted.
pub fn sound_folder(first: &str) -> Option<PathBuf> {
    let own = geteuid().as_raw();
    let sound = |folder: &Path| {
        folder.ancestors().all(|part| {
            fs::metadata(part).is_ok_and(|meta| {
                (meta.uid() == 0 || meta.uid() == own) && meta.mode() & 0o022 == 0
            })
        })
    };
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let candidates = [Some(PathBuf::from(first)), home, Some(PathBuf::from("/var/lib"))];
    candidates
        .into_iter()
        .flatten()
        .find(|folder| sound(folder) && tempfile::tempdir_in(folder).is_ok())
}

/// Scripts of one folder. Each writes a line into one file when it begins, so that the order of all runs is seen.
#[derive(Debug)]
pub struct Hooks {
    folder: PathBuf,
}

impl Hooks {
    /// In a folder that [`sound_folder`] gave, or below it.
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// Makes a hook that writes its name and what it is told, takes so many seconds, and says `saved`.
    pub fn plant(&self, name: &str, seconds: &str) -> io::Result<PathBuf> {
        let script = self.folder.join(name);
        let told = "$AGENTD_EVENT $AGENTD_ACTION $AGENTD_DEADLINE $AGENTD_SECONDS_LEFT";
        let runs = self.file();
        let text = format!(
            "#!/bin/sh\necho \"{name} {told}\" >> '{}'\nsleep {seconds}\necho saved\n",
            runs.display()
        );
        fs::write(&script, text)?;
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
        Ok(script)
    }

    fn file(&self) -> PathBuf {
        self.folder.join("runs")
    }

    /// The lines of all runs so far, the first one first.
    pub fn runs(&self) -> Vec<String> {
        let text = fs::read_to_string(self.file()).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// How often a hook ran.
    pub fn runs_of(&self, name: &str) -> usize {
        self.runs().iter().filter(|run| run.split(' ').next() == Some(name)).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_everybody_may_write_to_is_not_sound() {
        let open = tempfile::tempdir().unwrap();
        fs::set_permissions(open.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let found = sound_folder(&open.path().display().to_string());
        assert_ne!(found.as_deref(), Some(open.path()));
    }

    #[test]
    fn runs_are_told_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let hooks = Hooks::new(folder.path());
        for (name, event) in [("save", "idle"), ("sync", "spot-interruption"), ("save", "idle")] {
            let script = hooks.plant(name, "0").unwrap();
            let done = std::process::Command::new(script).env("AGENTD_EVENT", event).output();
            assert_eq!(done.unwrap().stdout, b"saved\n");
        }
        assert_eq!((hooks.runs_of("save"), hooks.runs_of("sync")), (2, 1));
        assert!(hooks.runs()[1].starts_with("sync spot-interruption "), "{:?}", hooks.runs());
    }
}
