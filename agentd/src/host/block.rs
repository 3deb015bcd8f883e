//! Whole disks and what was read from and written to them, from `/proc/diskstats`
//! (`Documentation/admin-guide/iostats.rst`).

use procfs::DiskStat;

use super::{HostError, HostRoot};

/// The most of `/proc/diskstats` that is read.
const LIMIT: usize = 1 << 20;
/// A sector of diskstats is this many bytes, whatever the disk's own block size is.
const SECTOR: u64 = 512;

/// A disk and its traffic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disk {
    /// The kernel's name: `nvme0n1`, `xvda`.
    pub name: String,
    /// Bytes read and written since the disk appeared.
    pub bytes: u64,
}

/// The whole disks: those with a device behind them (`/sys/block/NAME/device`). Partitions, device mapper, RAID, loop
/// and RAM disks have none; what they move is counted on the disks below them.
pub fn disks(root: &HostRoot) -> Result<Vec<Disk>, HostError> {
    let path = "/proc/diskstats";
    let text = root.read_text(path, LIMIT)?;
    let mut disks = Vec::new();
    for line in text.lines() {
        let stat = DiskStat::from_line(line)
            .map_err(|error| HostError::malformed(path, format!("'{}': {error}", line.trim())))?;
        // A slash in a device's name is an exclamation mark in /sys.
        if root.exists(&format!("/sys/block/{}/device", stat.name.replace('/', "!")))? {
            let sectors = stat.sectors_read.saturating_add(stat.sectors_written);
            disks.push(Disk { name: stat.name, bytes: sectors.saturating_mul(SECTOR) });
        }
    }
    Ok(disks)
}

/// What a block device is to those who count what disks move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    /// A disk of its own.
    Disk,
    /// Something that stands on others: device mapper, RAID, a file behind a loop device.
    Above,
    /// Memory.
    Memory,
}

/// What the device of a number (`MAJ:MIN`) is, by `/sys/dev/block`. One that the machine does not show is taken for a disk.
pub fn layer(root: &HostRoot, number: &str) -> Result<Layer, HostError> {
    let folder = format!("/sys/dev/block/{number}");
    if root.exists(&format!("{folder}/device"))? || !root.exists(&folder)? {
        return Ok(Layer::Disk);
    }
    // The entry is a link to `../../devices/…/block/NAME`.
    let name = std::fs::read_link(root.path(&folder)).unwrap_or_default();
    let name = name.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let memory = name.starts_with("zram") || name.starts_with("ram");
    Ok(if memory { Layer::Memory } else { Layer::Above })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::tree::Tree;

    #[test]
    fn whole_disks_are_counted_in_sectors_of_512_bytes() {
        let tree = Tree::new();
        tree.file(
            "/proc/diskstats",
            " 259 0 nvme0n1 10 0 100 5 20 0 40 5 0 9 9 0 0 0 0 0 0\n 259 1 nvme0n1p1 1 0 8 0 0 0 0 0 0 0 0\n 253 0 dm-0 1 0 8 0 0 0 0 0 0 0 0\n",
        );
        tree.folder("/sys/block/nvme0n1/device");
        tree.folder("/sys/block/dm-0");
        let found = disks(&tree.root()).unwrap();
        assert_eq!(found, [Disk { name: "nvme0n1".to_owned(), bytes: 140 * 512 }]);
    }

    #[test]
    fn garbage_is_an_error_and_not_an_idle_disk() {
        let tree = Tree::new();
        tree.folder("/sys/block/sda/device");
        for line in ["8 0 sda", "8 0 sda 1 2 x 4 5 6 7", "8 0 sda 1 2 3 4 5 6 -7"] {
            tree.file("/proc/diskstats", line);
            assert!(disks(&tree.root()).is_err(), "{line}");
        }
        tree.remove("/proc/diskstats");
        assert!(disks(&tree.root()).unwrap_err().is_missing());
    }

    #[test]
    fn disks_are_told_from_what_stands_on_them() {
        let tree = Tree::new();
        tree.folder("/sys/dev/block/259:0/device");
        tree.folder("/sys/devices/virtual/block/zram0");
        tree.folder("/sys/dev/block/7:0");
        std::os::unix::fs::symlink(
            "../../devices/virtual/block/zram0",
            tree.path("/sys/dev/block/252:0"),
        )
        .unwrap();
        for (number, expected) in [
            ("259:0", Layer::Disk),
            ("7:0", Layer::Above),
            ("252:0", Layer::Memory),
            ("1:9", Layer::Disk),
        ] {
            assert_eq!(layer(&tree.root(), number).unwrap(), expected, "{number}");
        }
    }

    #[test]
    fn this_machine_can_be_read() {
        assert!(disks(&HostRoot::real()).is_ok());
    }
}
