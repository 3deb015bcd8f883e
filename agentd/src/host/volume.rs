//! Instance-store volumes: disks of the host that EC2 gives to an instance until it is stopped or hibernated, which wipes them (EC2
//! User Guide, "Data persistence for Amazon EC2 instance store volumes").
//!
//! They are told by the model that their controller names (`/sys/block/NAME/device/model`; EC2 User Guide, "Instance store:
//! `NVMe` volumes"). What is mounted may be the disk, a partition, or a device of LVM, RAID or encryption on top of it, which sysfs lists as
//! `holders`. ZFS names pools instead of disks and is not seen, nor are the disks of Xen (`xvdb`), which have no model.

use std::collections::BTreeSet;

use super::{HostError, HostRoot};

/// The model of an instance store. Those of EBS are called "Amazon Elastic Block Store".
const MODEL: &str = "Amazon EC2 NVMe Instance Storage";
/// The tables of what is mounted: of the machine, and of the agent itself, which sees less if its unit hides something.
const TABLES: [&str; 2] = ["/proc/1/mounts", "/proc/self/mounts"];
/// The most that is read of a table, and the most entries of a folder.
const LIMIT: usize = 4 << 20;
const ENTRIES: usize = 4096;
/// How many devices may lie on top of each other.
const LAYERS: usize = 8;

/// A file system on an instance store.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MountedStore {
    /// The device that is mounted, as in proc(5): `/dev/nvme1n1`, `/dev/mapper/vg-scratch`.
    pub device: String,
    /// Where, `\040` for a space.
    pub folder: String,
}

/// The file systems on instance stores that are mounted, each once.
///
/// # Errors
///
/// When the disks or the table of mounts cannot be read: then it is not known that there are none.
pub fn mounted_stores(root: &HostRoot) -> Result<Vec<MountedStore>, HostError> {
    let mut devices = BTreeSet::new();
    for disk in names(root, "/sys/block")? {
        let model = optional(root, &format!("/sys/block/{disk}/device/model"))?;
        if model.is_some_and(|model| model.trim() == MODEL) {
            add(root, &format!("/sys/block/{disk}"), &disk, LAYERS, &mut devices)?;
        }
    }
    let mut found = BTreeSet::new();
    if devices.is_empty() {
        return Ok(Vec::new());
    }
    for table in TABLES {
        for line in optional(root, table)?.unwrap_or_default().lines() {
            let mut fields = line.split(' ');
            let (Some(device), Some(folder)) = (fields.next(), fields.next()) else { continue };
            if device.strip_prefix("/dev/").is_some_and(|name| devices.contains(name)) {
                let (device, folder) = (device.to_owned(), folder.to_owned());
                found.insert(MountedStore { device, folder });
            }
        }
    }
    Ok(found.into_iter().collect())
}

/// A device, its partitions, and what lies on top of them, by their names below `/dev`.
fn add(
    root: &HostRoot,
    folder: &str,
    name: &str,
    layers: usize,
    devices: &mut BTreeSet<String>,
) -> Result<(), HostError> {
    devices.insert(name.to_owned());
    if let Some(mapped) = optional(root, &format!("{folder}/dm/name"))? {
        devices.insert(format!("mapper/{}", mapped.trim()));
    }
    if layers == 0 {
        return Ok(());
    }
    for inner in names(root, folder)?.iter().filter(|inner| inner.starts_with(name)) {
        add(root, &format!("{folder}/{inner}"), inner, 0, devices)?;
        for holder in names(root, &format!("{folder}/{inner}/holders"))? {
            add(root, &format!("/sys/block/{holder}"), &holder, layers - 1, devices)?;
        }
    }
    for holder in names(root, &format!("{folder}/holders"))? {
        add(root, &format!("/sys/block/{holder}"), &holder, layers - 1, devices)?;
    }
    Ok(())
}

fn names(root: &HostRoot, folder: &str) -> Result<Vec<String>, HostError> {
    match root.names(folder, ENTRIES) {
        Err(error) if error.is_missing() => Ok(Vec::new()),
        other => other,
    }
}

/// A file that need not be there, or that this process may not see.
fn optional(root: &HostRoot, path: &str) -> Result<Option<String>, HostError> {
    let mut text = Vec::new();
    match root.read_into(path, LIMIT, &mut text) {
        Ok(()) => Ok(Some(String::from_utf8_lossy(&text).into_owned())),
        Err(error) if error.is_missing() || error.is_denied() => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::tree::Tree;

    fn machine() -> Tree {
        let tree = Tree::new();
        tree.file("/sys/block/nvme0n1/device/model", "Amazon Elastic Block Store              \n");
        tree.folder("/sys/block/nvme0n1/nvme0n1p1");
        tree.file("/sys/block/nvme1n1/device/model", "Amazon EC2 NVMe Instance Storage        \n");
        tree.folder("/sys/block/nvme1n1/nvme1n1p1");
        tree.file("/sys/block/nvme2n1/device/model", "Amazon EC2 NVMe Instance Storage        \n");
        tree.folder("/sys/block/loop0");
        tree
    }

    fn mounted(tree: &Tree) -> Vec<String> {
        let found = mounted_stores(&tree.root()).unwrap();
        found.into_iter().map(|it| format!("{} {}", it.device, it.folder)).collect()
    }

    #[test]
    fn only_what_lies_on_an_instance_store_is_one() {
        let tree = machine();
        tree.file(
            "/proc/self/mounts",
            "/dev/nvme0n1p1 / ext4 rw 0 0\ntmpfs /run tmpfs rw 0 0\nproc /proc proc rw 0 0\n/dev/loop0 /snap/x squashfs ro 0 0\n",
        );
        assert_eq!(mounted(&tree), Vec::<String>::new());
        tree.file(
            "/proc/1/mounts",
            "/dev/nvme1n1 /mnt xfs rw 0 0\n/dev/nvme1n1p1 /scratch\\040x ext4 rw 0 0\n/dev/nvme1n10 /no ext4 rw 0 0\n",
        );
        assert_eq!(mounted(&tree), ["/dev/nvme1n1 /mnt", "/dev/nvme1n1p1 /scratch\\040x"]);
    }

    #[test]
    fn volumes_of_lvm_and_raid_on_instance_stores_are_found() {
        let tree = machine();
        tree.folder("/sys/block/nvme1n1/holders/md127");
        tree.folder("/sys/block/nvme2n1/holders/md127");
        tree.folder("/sys/block/md127/holders/dm-0");
        tree.file("/sys/block/dm-0/dm/name", "vg-scratch\n");
        tree.folder("/sys/block/nvme1n1/nvme1n1p1/holders/dm-1");
        tree.file("/sys/block/dm-1/dm/name", "crypt\n");
        tree.file(
            "/proc/self/mounts",
            "/dev/mapper/vg-scratch /data xfs rw 0 0\n/dev/mapper/crypt /secret ext4 rw 0 0\n/dev/md127 /md ext4 rw 0 0\n/dev/mapper/other /o ext4 rw 0 0\n",
        );
        let expected =
            ["/dev/mapper/crypt /secret", "/dev/mapper/vg-scratch /data", "/dev/md127 /md"];
        assert_eq!(mounted(&tree), expected);
    }

    #[test]
    fn a_machine_without_disks_has_none() {
        assert_eq!(mounted(&Tree::new()), Vec::<String>::new());
    }

    #[test]
    fn this_machine_can_be_read() {
        assert!(mounted_stores(&HostRoot::real()).is_ok());
    }
}
