//! The hook that is measured: this program under another name, which writes down when it began to run and ends.
//!
//! A shell would need some milliseconds before it could look at a clock.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::moment::Moment;

/// The name under which this program is a hook.
const NAME: &str = "agentd-bench-hook";
/// What it writes, beside itself.
const BEGAN: &str = "began";

/// Does a hook's work if this program was started as one.
pub(crate) fn is_meant() -> bool {
    let Some(own) = std::env::args_os().next().map(PathBuf::from) else { return false };
    if own.file_name().is_none_or(|name| name != NAME) {
        return false;
    }
    let now = Moment::now();
    // Each run adds a line: a second one must not hide.
    let before = fs::read_to_string(own.with_file_name(BEGAN)).unwrap_or_default();
    let _unseen = fs::write(own.with_file_name(BEGAN), format!("{before}{}\n", now.0));
    true
}

/// A hook in a folder.
#[derive(Debug)]
pub(super) struct Hook {
    /// The program.
    pub(super) path: PathBuf,
}

impl Hook {
    /// Puts one into a folder.
    pub(super) fn plant(folder: &Path) -> io::Result<Self> {
        let path = folder.join(NAME);
        // A link of the same file is as good as a copy, and cheaper; where it was built anew meanwhile there is none.
        if fs::hard_link(std::env::current_exe()?, &path).is_err() {
            fs::copy("/proc/self/exe", &path)?;
        }
        Ok(Self { path })
    }

    /// When it ran, once for each run.
    pub(super) fn runs(&self) -> Vec<Moment> {
        let text = fs::read_to_string(self.path.with_file_name(BEGAN)).unwrap_or_default();
        text.lines().filter_map(|line| line.parse().ok()).map(Moment).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_program_is_a_hook_only_under_the_name_of_one() {
        assert!(!is_meant());
        let folder = std::env::temp_dir().join(format!("xtask-hook-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let hook = Hook::plant(&folder).unwrap();
        assert!(hook.path.is_file() && hook.runs().is_empty());
        fs::write(folder.join(BEGAN), "12\n30\n").unwrap();
        assert_eq!(hook.runs(), [Moment(12), Moment(30)]);
        fs::remove_dir_all(&folder).unwrap();
    }
}
