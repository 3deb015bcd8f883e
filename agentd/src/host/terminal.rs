//! Terminals and when they were last read from.
//!
//! A terminal's access time changes when a program reads what somebody typed; output changes the modification time
//! only. The kernel moves both in steps of 8 seconds (`tty_update_time` in `drivers/tty/tty_io.c`), so that nobody can
//! measure key strokes. stat(2) is all that is needed, and it is free of side effects.

use std::os::unix::fs::{FileTypeExt, MetadataExt};

use nix::sys::stat::{major, minor};

use super::{HostError, HostRoot};

/// The most terminals that are looked at.
const LIMIT: usize = 8192;
/// The major number of pseudo-terminals (`UNIX98_PTY_SLAVE_MAJOR`).
const PSEUDO: u32 = 136;

/// A terminal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terminal {
    /// Its path as people write it: `pts/3`, `tty1`.
    pub name: String,
    /// Its device number as `/proc/PID/stat` shows it in the field `tty_nr`, 0 where the file is no device (in a
    /// test's folder).
    pub number: u32,
    /// Last access, nanoseconds since 1970.
    pub accessed_ns: i128,
    /// The user to whom the device belongs.
    pub uid: u32,
}

/// The open pseudo-terminals: every numeric name in `/dev/pts` (pts(4)).
pub fn pseudo(root: &HostRoot) -> Result<Vec<Terminal>, HostError> {
    let names = root.names("/dev/pts", LIMIT)?;
    let numeric = |name: &String| name.bytes().all(|byte| byte.is_ascii_digit());
    collect(root, names.into_iter().filter(numeric).map(|name| format!("pts/{name}")))
}

/// The consoles on which somebody can log in: `tty1` to `tty6` and the serial ports. Those that do not exist are left
/// out.
pub fn consoles(root: &HostRoot) -> Result<Vec<Terminal>, HostError> {
    let names = (1..=6).map(|number| format!("tty{number}"));
    let serial = ["ttyS0", "ttyS1", "ttyAMA0", "hvc0", "xvc0"].map(str::to_owned);
    collect(root, names.chain(serial))
}

fn collect(
    root: &HostRoot,
    names: impl Iterator<Item = String>,
) -> Result<Vec<Terminal>, HostError> {
    let mut terminals = Vec::new();
    for name in names {
        if let Some(metadata) = root.inspect(&format!("/dev/{name}"))? {
            let device = metadata.file_type().is_char_device();
            let accessed = i128::from(metadata.atime()) * 1_000_000_000;
            terminals.push(Terminal {
                name,
                number: if device { number(metadata.rdev()) } else { 0 },
                accessed_ns: accessed + i128::from(metadata.atime_nsec()),
                uid: metadata.uid(),
            });
        }
    }
    Ok(terminals)
}

/// The device numbers of the open pseudo-terminals, in the form of [`Terminal::number`].
pub fn open(root: &HostRoot) -> Result<Vec<u32>, HostError> {
    let names = root.names("/dev/pts", LIMIT)?;
    let indices = names.iter().filter_map(|name| name.parse::<u32>().ok());
    Ok(indices.map(|index| encode(PSEUDO, index)).collect())
}

/// The path of a terminal by its device number, as people write it: `pts/3`, `tty1`, `ttyS0`; for a kind that is not
/// known, the number itself (`Documentation/admin-guide/devices.txt`).
pub fn name(number: u32) -> String {
    let major = (number >> 8) & 0xfff;
    let minor = (number & 0xff) | ((number >> 12) & 0xf_ff00);
    match (major, minor) {
        (PSEUDO, index) => format!("pts/{index}"),
        (4, index) if index < 64 => format!("tty{index}"),
        (4, index) => format!("ttyS{}", index - 64),
        (204, index) if index >= 64 => format!("ttyAMA{}", index - 64),
        (229, index) => format!("hvc{index}"),
        (5, 1) => "console".to_owned(),
        (major, minor) => format!("terminal {major}:{minor}"),
    }
}

/// Whether a device number is that of a pseudo-terminal.
pub fn is_pseudo(number: u32) -> bool {
    (number >> 8) & 0xfff == PSEUDO
}

fn encode(major: u32, minor: u32) -> u32 {
    (minor & 0xff) | (major << 8) | ((minor & 0xf_ff00) << 12)
}

/// A device number in the form of `new_encode_dev` (`include/linux/kdev_t.h`), which the stat file uses.
fn number(device: u64) -> u32 {
    let (major, minor) = (major(device), minor(device));
    let encoded = (minor & 0xff) | (major << 8) | ((minor & !0xff) << 12);
    u32::try_from(encoded & 0xffff_ffff).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::tree::Tree;
    use nix::sys::stat::makedev;

    #[test]
    fn only_numeric_names_are_pseudo_terminals() {
        let tree = Tree::new();
        for name in ["0", "12", "ptmx", "1a"] {
            tree.file(&format!("/dev/pts/{name}"), "");
        }
        let names: Vec<_> =
            pseudo(&tree.root()).unwrap().into_iter().map(|terminal| terminal.name).collect();
        assert_eq!(names, ["pts/0", "pts/12"]);
    }

    #[test]
    fn a_machine_without_devpts_cannot_be_read() {
        assert!(pseudo(&Tree::new().root()).unwrap_err().is_missing());
    }

    #[test]
    fn consoles_that_exist_are_found() {
        let tree = Tree::new();
        for name in ["tty0", "tty1", "tty6", "tty7", "ttyS0", "ttyprintk"] {
            tree.file(&format!("/dev/{name}"), "");
        }
        let names: Vec<_> =
            consoles(&tree.root()).unwrap().into_iter().map(|terminal| terminal.name).collect();
        assert_eq!(names, ["tty1", "tty6", "ttyS0"]);
    }

    #[test]
    fn the_access_time_is_told_in_nanoseconds() {
        let tree = Tree::new();
        tree.file("/dev/pts/3", "");
        let file = std::fs::File::open(tree.path("/dev/pts/3")).unwrap();
        let moment = std::time::UNIX_EPOCH + std::time::Duration::new(1_700_000_000, 5);
        file.set_times(std::fs::FileTimes::new().set_accessed(moment)).unwrap();
        let terminals = pseudo(&tree.root()).unwrap();
        assert_eq!(terminals[0].accessed_ns, 1_700_000_000_000_000_005);
    }

    #[test]
    fn a_device_number_tells_the_name() {
        for (major, minor, expected) in [
            (136, 3, "pts/3"),
            (136, 256, "pts/256"),
            (136, 100_000, "pts/100000"),
            (4, 1, "tty1"),
            (4, 64, "ttyS0"),
            (204, 64, "ttyAMA0"),
            (229, 0, "hvc0"),
            (5, 1, "console"),
            (9, 9, "terminal 9:9"),
        ] {
            assert_eq!(name(number(makedev(major, minor))), expected);
        }
        assert!(is_pseudo(34_816) && !is_pseudo(1088));
    }

    #[test]
    fn the_numbers_of_open_terminals_come_from_their_names() {
        let tree = Tree::new();
        for name in ["0", "300", "ptmx"] {
            tree.file(&format!("/dev/pts/{name}"), "");
        }
        let expected = [number(makedev(136, 0)), number(makedev(136, 300))];
        assert_eq!(open(&tree.root()).unwrap(), expected);
        assert!(open(&Tree::new().root()).is_err());
    }

    #[test]
    fn device_numbers_are_those_of_the_stat_file() {
        assert_eq!(number(makedev(136, 3)), 34_819);
        assert_eq!(number(makedev(4, 64)), 1088);
        assert_eq!(number(makedev(136, 256)), (136 << 8) + (1 << 20));
    }
}
