//! Swap as the kernel uses it, from `/proc/swaps` (`proc_swaps(5)`): areas of a higher priority are filled first.

use super::{HostError, HostRoot};

/// The most of `/proc/swaps` that is read.
const LIMIT: usize = 64 << 10;

/// A swap area in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SwapArea {
    /// A file or a device.
    pub name: String,
    /// Units of 1024 bytes.
    pub kib: u64,
    /// Higher ones are used first; equal ones in turn.
    pub priority: i64,
}

impl SwapArea {
    /// Whether it is a compressed part of the memory itself (zram), to which nothing can be saved.
    pub fn is_memory(&self) -> bool {
        self.name.starts_with("/dev/zram")
    }
}

/// The swap areas in use, in the kernel's order; none where there is no such file.
///
/// # Errors
///
/// When the table cannot be read or understood.
pub fn areas(root: &HostRoot) -> Result<Vec<SwapArea>, HostError> {
    let path = "/proc/swaps";
    let text = match root.read_text(path, LIMIT) {
        Ok(text) => text,
        Err(error) if error.is_missing() => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    // A heading, then: name, type, size, used, priority. Spaces in a name are written as \040.
    let area = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [name, _, kib, _, priority] = fields.as_slice() else { return None };
        let name = name.trim_end_matches("\\040(deleted)").to_owned();
        Some(SwapArea { name, kib: kib.parse().ok()?, priority: priority.parse().ok()? })
    };
    text.lines()
        .skip(1)
        .map(|line| {
            area(line).ok_or_else(|| HostError::malformed(path, format!("'{}'", line.trim())))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::tree::Tree;

    #[test]
    fn areas_are_understood_and_garbage_is_not() {
        let tree = Tree::new();
        assert_eq!(areas(&tree.root()).unwrap(), []);
        tree.file(
            "/proc/swaps",
            "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n/swapfile                               file\t\t2097148\t\t0\t\t-2\n/dev/zram0 partition\t4194300\t0\t100\n",
        );
        let area = |name: &str, kib, priority| SwapArea { name: name.to_owned(), kib, priority };
        let expected = [area("/swapfile", 2_097_148, -2), area("/dev/zram0", 4_194_300, 100)];
        assert_eq!(areas(&tree.root()).unwrap(), expected);
        assert!(expected[1].is_memory() && !expected[0].is_memory());
        tree.file("/proc/swaps", "Filename Type Size Used Priority\n/swapfile file many 0 -2\n");
        assert!(areas(&tree.root()).is_err());
    }

    #[test]
    fn this_machine_can_be_read() {
        assert!(areas(&HostRoot::real()).is_ok());
    }
}
