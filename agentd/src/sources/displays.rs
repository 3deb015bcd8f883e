//! Programs that only show something, in the foreground of a terminal: `htop`, `nvitop`, `watch nvidia-smi`.
//!
//! Nobody may look at them any more, and they go on drawing. What they use for it, and what the programs use that they start for it,
//! is no work; whoever touches the terminal is seen by that.

use super::sessions::command;
use crate::host::process::ProcessStat;

/// A name is cut at so many bytes by the kernel (`TASK_COMM_LEN`).
const NAME: usize = 15;

/// Whether a process is worth a look at its arguments: it has the foreground of a terminal and a name that may be a display's.
pub(super) fn may_display(stat: &ProcessStat<'_>) -> bool {
    let foreground = stat.tty != 0 && stat.foreground == stat.group;
    foreground && is_name(stat.comm)
}

/// Whether a process of this name may be a display.
pub(super) fn is_name(comm: &[u8]) -> bool {
    std::str::from_utf8(comm).is_ok_and(command::is_display)
}

/// Whether a process of that name with these arguments is a display. A script of the name is none: its arguments begin
/// with its interpreter. Displays that are written in Python are known by the name of their script.
pub(super) fn is_display(comm: &[u8], arguments: &[&[u8]]) -> bool {
    let words: Vec<_> = arguments.iter().map(|word| String::from_utf8_lossy(word)).collect();
    let base = |word: &str| word.rsplit('/').next().unwrap_or_default().to_owned();
    let mut words = words.iter().map(AsRef::as_ref);
    let Some(mut program) = words.next().map(base) else { return false };
    if program.starts_with("python") {
        program = words.find(|word| !word.starts_with('-')).map(base).unwrap_or_default();
    }
    let cut = program.as_bytes().get(..NAME).unwrap_or(program.as_bytes());
    cut == comm && command::is_display(&program)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn displays_are_known_by_their_name_and_scripts_of_that_name_are_none() {
        let display = |comm: &str, line: &str| {
            let words: Vec<_> = line.split(' ').map(str::as_bytes).collect();
            is_display(comm.as_bytes(), &words)
        };
        for (comm, line) in [
            ("watch", "watch -n 1 nvidia-smi"),
            ("htop", "/usr/bin/htop"),
            ("nvitop", "/usr/bin/python3 -s /usr/local/bin/nvitop"),
            ("top", "top"),
        ] {
            assert!(display(comm, line), "{line}");
        }
        for (comm, line) in [
            ("watch.sh", "/bin/bash ./watch.sh"),
            ("watch", "/bin/bash /home/alice/bin/watch"),
            ("python3", "python3 watch"),
            ("train", "/home/alice/top/train"),
            ("top", "/home/alice/train"),
            ("make", "make top"),
            ("top", ""),
        ] {
            assert!(!display(comm, line), "{line}");
        }
        assert!(!is_display(b"top", &[]));
    }
}
