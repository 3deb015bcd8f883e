//! Pressure stall information: how long tasks waited for CPU, memory or disks (`Documentation/accounting/psi.rst`).
//!
//! Only the running totals are used. The kernel's own averages begin anew nowhere and mix times of which the agent knows
//! nothing.

use super::process::number;
use super::{HostError, HostRoot};

/// A pressure file has two lines of at most 80 bytes.
const LIMIT: usize = 4096;

/// The totals of one pressure file, microseconds since boot or since the group was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pressure {
    /// At least one task waited.
    pub some_us: u64,
    /// All tasks that were not idle waited at once. Older kernels do not tell it for the CPU.
    pub full_us: Option<u64>,
}

/// Reads a pressure file. None where the kernel does not keep it: the file is not there, or `EOPNOTSUPP` (`psi=0` on
/// the kernel's command line, `cgroup.pressure` set to 0).
pub fn read(root: &HostRoot, path: &str) -> Result<Option<Pressure>, HostError> {
    let mut text = Vec::new();
    match root.read_into(path, LIMIT, &mut text) {
        Ok(()) => {}
        Err(error) if error.is_missing() || is_unsupported(&error) => return Ok(None),
        Err(error) => return Err(error),
    }
    parse(&text).map(Some).ok_or_else(|| HostError::malformed(path, "no total of 'some' in it"))
}

fn is_unsupported(error: &HostError) -> bool {
    matches!(error, HostError::Io { error, .. }
        if error.raw_os_error() == Some(nix::libc::EOPNOTSUPP))
}

/// `some avg10=0.00 avg60=0.00 avg300=0.00 total=123`, and the same for `full`.
fn parse(text: &[u8]) -> Option<Pressure> {
    let total = |word: &[u8]| {
        // A number that was cut off is a smaller one, so a line must have its end.
        let mut lines = text.split_inclusive(|byte| *byte == b'\n');
        let line = lines.find_map(|line| line.strip_prefix(word)?.strip_suffix(b"\n"))?;
        line.split(|byte| *byte == b' ').find_map(|field| field.strip_prefix(b"total="))
    };
    let full_us = match total(b"full ") {
        Some(digits) => Some(number(digits)?),
        None => None,
    };
    Some(Pressure { some_us: number(total(b"some ")?)?, full_us })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::tree::Tree;

    #[test]
    fn totals_are_read_and_a_missing_full_line_is_no_zero() {
        let text = b"some avg10=0.00 avg60=1.00 avg300=0.00 total=1234\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=77\n";
        assert_eq!(parse(text), Some(Pressure { some_us: 1234, full_us: Some(77) }));
        let text = b"some avg10=0.00 avg60=0.00 avg300=0.00 total=5\n";
        assert_eq!(parse(text), Some(Pressure { some_us: 5, full_us: None }));
    }

    #[test]
    fn garbage_is_refused() {
        for text in [
            &b""[..],
            b"some",
            b"some avg10=0.00",
            b"some total=-1\n",
            b"some total=1x\n",
            b"full total=3\n",
            b"some avg10=0.00 total=12",
            b"some total=1\nfull total=x\n",
            b"\xff\xff",
        ] {
            assert_eq!(parse(text), None, "{}", String::from_utf8_lossy(text));
        }
    }

    #[test]
    fn a_kernel_without_it_is_told_apart_from_one_that_fails() {
        let tree = Tree::new();
        let root = tree.root();
        assert_eq!(read(&root, "/proc/pressure/memory").unwrap(), None);
        tree.file("/proc/pressure/memory", "garbage");
        let error = read(&root, "/proc/pressure/memory").unwrap_err().to_string();
        assert!(error.contains("/proc/pressure/memory"), "{error}");
        let off = HostError::io("read", "/x", nix::errno::Errno::EOPNOTSUPP);
        assert!(is_unsupported(&off));
    }
}
