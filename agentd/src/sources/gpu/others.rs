//! Accelerators that are not NVIDIA's: AWS Trainium and Inferentia (Neuron), GPUs of AMD, Gaudi of Habana.
//!
//! One that is there and cannot be read is blind, never "not there".
//!
//! - Neuron: `/dev/neuron0` and so on. The driver tells no utilisation, but how many programs were executed on each core
//!   (`status/success`, `inference_count`, `flop_count` below `/sys/devices/virtual/neuron_device/neuronN/neuron_coreM/stats`; AWS
//!   Neuron, "Neuron Sysfs User Guide"). Drivers differ in where below a device they keep these, and whether a counter is a file or
//!   a folder with a file `total`, so they are looked for by name. A device is fully in use while a count changed within the last
//!   two minutes: a step of a training may take many seconds.
//! - AMD: `gpu_busy_percent` of the driver amdgpu, 0 to 100 (kernel, "amdgpu: Misc AMDGPU driver information"), for each
//!   `/sys/class/drm/renderD*` of the vendor 0x1002. Nodes of other vendors are displays of virtual machines.
//! - Gaudi (`/sys/class/accel/accelN`, vendor 0x1da3, or `/dev/hlN`) tells its utilisation to its library only.

use std::collections::BTreeMap;
use std::time::Duration;

use agent_core::reading::{Signal, Value};
use agent_core::stamp::Stamp;
use thiserror::Error;

use crate::host::{HostError, HostRoot};

/// Where the driver of Neuron tells of its devices.
const NEURON: &str = "/sys/devices/virtual/neuron_device";
/// What grows while programs are executed on a core.
const GROWS: [&str; 3] = ["success", "inference_count", "flop_count"];
/// How deep counters lie below a device, and how many folders are looked through for one.
const DEPTH: usize = 6;
const FOLDERS: usize = 4096;
/// A device whose counts have not changed for so long waits.
const STANDSTILL: Duration = Duration::from_mins(2);
/// The most entries of a folder, and the most of a small file that is read.
const ENTRIES: usize = 4096;
const SMALL: usize = 4096;
/// The vendors of PCI, as sysfs writes them.
const AMD: &str = "0x1002";
const HABANA: &str = "0x1da3";

/// Why an accelerator could not be read.
#[derive(Debug, Error)]
pub(super) enum OtherError {
    /// It is there and tells nothing.
    #[error(
        "use the accelerator of '{node}': {reason}; set 'enabled = false' in [source.gpu] if nobody computes on it"
    )]
    Unusable {
        /// A device file or folder.
        node: String,
        /// Why.
        reason: String,
    },
    /// A file of the host.
    #[error(transparent)]
    Host(#[from] HostError),
}

/// Follows the accelerators of a machine.
#[derive(Debug)]
pub(super) struct Others {
    root: HostRoot,
    neurons: BTreeMap<String, Neuron>,
}

/// A device of Neuron.
#[derive(Debug)]
struct Neuron {
    /// The files of its counters.
    files: Vec<String>,
    /// What they said last, and when that was something else than before.
    counts: Vec<u64>,
    moved: Stamp,
}

impl Others {
    /// Nothing is read yet.
    pub(super) fn new(root: HostRoot) -> Self {
        Self { root, neurons: BTreeMap::new() }
    }

    /// One level for each accelerator. `devices` are the names in `/dev`.
    pub(super) fn look(&mut self, now: Stamp, devices: &[String]) -> Result<Vec<Signal>, OtherError> {
        let mut signals = Vec::new();
        let neurons = devices.iter().filter(|name| numbered(name, "neuron"));
        let neurons: Vec<&String> = neurons.collect();
        self.neurons.retain(|name, _| neurons.contains(&name));
        for name in neurons {
            let level = if self.neuron_works(now, name)? { 100.0 } else { 0.0 };
            signals.push(Signal::new(name.clone(), Value::Level { value: level }));
        }
        self.amd(devices, &mut signals)?;
        self.habana(devices)?;
        Ok(signals)
    }

    /// Whether something was executed on a device of late. The first look at it counts as work, as nothing is known before.
    fn neuron_works(&mut self, now: Stamp, name: &str) -> Result<bool, OtherError> {
        let folder = format!("{NEURON}/{name}");
        let known = self.neurons.remove(name).filter(|it| self.counts(&it.files).is_ok());
        let (files, before) = match known {
            Some(known) => (known.files, Some((known.counts, known.moved))),
            None => (self.counters(&folder)?, None),
        };
        if files.is_empty() {
            let reason = format!("'{folder}' has no count of what is executed");
            return Err(unusable(&format!("/dev/{name}"), reason));
        }
        let counts = self.counts(&files)?;
        let moved = match before {
            Some((old, moved)) if old == counts => moved,
            _ => now,
        };
        self.neurons.insert(name.to_owned(), Neuron { files, counts, moved });
        Ok(now.since(moved) < STANDSTILL)
    }

    fn counts(&self, files: &[String]) -> Result<Vec<u64>, HostError> {
        let count = |path: &String| {
            let text = self.root.read_text(path, SMALL)?;
            text.trim().parse().map_err(|_| HostError::malformed(path.as_str(), "it is no number"))
        };
        files.iter().map(count).collect()
    }

    /// The counters below a device's folder.
    fn counters(&self, folder: &str) -> Result<Vec<String>, HostError> {
        let mut files = Vec::new();
        let mut queue = vec![(folder.to_owned(), 0)];
        let mut at = 0;
        while let Some((folder, depth)) = queue.get(at).cloned() {
            at += 1;
            let names = match self.root.names(&folder, ENTRIES) {
                Ok(names) => names,
                Err(error) if error.is_missing() => continue,
                Err(error) => return Err(error),
            };
            // Links lead to other devices, so only what lies here is gone through.
            let folders = self.root.folders(&folder, ENTRIES)?;
            for name in names {
                let path = format!("{folder}/{name}");
                if folders.contains(&name) {
                    if GROWS.contains(&name.as_str()) && self.root.exists(&format!("{path}/total"))? {
                        files.push(format!("{path}/total"));
                    } else if depth < DEPTH && queue.len() < FOLDERS {
                        queue.push((path, depth + 1));
                    }
                } else if GROWS.contains(&name.as_str()) {
                    files.push(path);
                }
            }
        }
        Ok(files)
    }

    /// The GPUs of AMD.
    fn amd(&self, devices: &[String], signals: &mut Vec<Signal>) -> Result<(), OtherError> {
        let nodes = self.of_vendor("/sys/class/drm", "renderD", AMD)?;
        for node in &nodes {
            let path = format!("/sys/class/drm/{node}/device/gpu_busy_percent");
            let shown = format!("/dev/dri/{node}");
            let text = self.root.read_text(&path, SMALL);
            let text = text.map_err(|error| unusable(&shown, error.to_string()))?;
            let percent: u8 =
                text.trim().parse().map_err(|_| unusable(&shown, format!("'{path}' is no percentage")))?;
            let value = Value::Level { value: f64::from(percent) };
            signals.push(Signal::new(format!("amd {node}"), value));
        }
        // What the driver for computing makes, and a node that sysfs does not know: whose they are is unknown.
        let strange = self.unknown_nodes()?.into_iter().next();
        let computing = devices.iter().any(|name| name == "kfd").then(|| "/dev/kfd".to_owned());
        match strange.or(computing.filter(|_| nodes.is_empty())) {
            Some(node) => Err(unusable(&node, "nothing in '/sys/class/drm' tells of it".to_owned())),
            None => Ok(()),
        }
    }

    /// Nodes for rendering in `/dev/dri` of which sysfs tells nothing.
    fn unknown_nodes(&self) -> Result<Vec<String>, HostError> {
        let mut unknown = Vec::new();
        for name in self.names("/dev/dri")? {
            if numbered(&name, "renderD") && !self.root.is_entry(&format!("/sys/class/drm/{name}"))? {
                unknown.push(format!("/dev/dri/{name}"));
            }
        }
        Ok(unknown)
    }

    fn habana(&self, devices: &[String]) -> Result<(), OtherError> {
        let by_class = self.of_vendor("/sys/class/accel", "accel", HABANA)?.into_iter().next();
        let by_class = by_class.map(|node| format!("/dev/accel/{node}"));
        let by_device = devices.iter().find(|name| numbered(name, "hl"));
        match by_class.or(by_device.map(|name| format!("/dev/{name}"))) {
            Some(node) => Err(unusable(&node, "its utilisation cannot be read".to_owned())),
            None => Ok(()),
        }
    }

    /// The nodes of a class whose device is of a vendor. A device without a vendor is not on PCI.
    fn of_vendor(&self, class: &str, prefix: &str, vendor: &str) -> Result<Vec<String>, HostError> {
        let mut found = Vec::new();
        for name in self.names(class)? {
            if !numbered(&name, prefix) {
                continue;
            }
            match self.root.read_text(&format!("{class}/{name}/device/vendor"), SMALL) {
                Ok(text) if text.trim() == vendor => found.push(name),
                Ok(_) => {}
                Err(error) if error.is_missing() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }

    fn names(&self, folder: &str) -> Result<Vec<String>, HostError> {
        match self.root.names(folder, ENTRIES) {
            Err(error) if error.is_missing() => Ok(Vec::new()),
            other => other,
        }
    }
}

/// `prefix` and a number.
pub(super) fn numbered(name: &str, prefix: &str) -> bool {
    let number = name.strip_prefix(prefix).unwrap_or_default();
    !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
}

fn unusable(node: &str, reason: String) -> OtherError {
    OtherError::Unusable { node: node.to_owned(), reason }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::tree::Tree;

    struct Machine {
        tree: Tree,
        others: Others,
        now: Stamp,
    }

    impl Machine {
        fn new() -> Self {
            let tree = Tree::new();
            tree.folder("/dev");
            let others = Others::new(tree.root());
            Self { tree, others, now: Stamp::new(1_000_000, 0, 0) }
        }

        /// What is seen so many seconds later, as `subject: level`, or why nothing is.
        fn after(&mut self, seconds: u64) -> Result<Vec<String>, String> {
            self.now = self.now.after(Duration::from_secs(seconds));
            let devices = self.tree.root().names("/dev", 100).unwrap();
            let signals = self.others.look(self.now, &devices).map_err(|error| error.to_string())?;
            let line = |signal: Signal| match signal.value {
                Value::Level { value } => format!("{}: {value}", signal.subject),
                other => panic!("{other:?}"),
            };
            Ok(signals.into_iter().map(line).collect())
        }

        fn blind(&mut self) -> String {
            let why = self.after(10).unwrap_err();
            assert!(why.contains("enabled = false"), "{why}");
            why
        }
    }

    #[test]
    fn a_machine_without_accelerators_has_none() {
        let mut machine = Machine::new();
        machine.tree.file("/dev/null", "");
        machine.tree.file("/dev/neuron_monitor", "");
        assert_eq!(machine.after(0), Ok(Vec::new()));
    }

    #[test]
    fn a_device_without_counters_is_blind_and_the_cure_is_told() {
        for node in ["/dev/neuron0", "/dev/kfd", "/dev/dri/renderD128", "/dev/hl0"] {
            let mut machine = Machine::new();
            machine.tree.file(node, "");
            let why = machine.blind();
            assert!(why.contains(node), "{why}");
        }
        let mut machine = Machine::new();
        machine.tree.file("/sys/class/accel/accel0/device/vendor", "0x1da3\n");
        assert!(machine.blind().contains("/dev/accel/accel0"));
        machine.tree.file("/sys/class/accel/accel0/device/vendor", "0x8086\n");
        assert_eq!(machine.after(10), Ok(Vec::new()));
    }

    #[test]
    fn neuron_works_while_its_counts_change_wherever_they_are_kept() {
        for counter in [
            "neuron_core0/stats/status/success/total",
            "neuron_core1/stats/other_info/flop_count",
            "neuron_core0/stats/other_info/inference_count/total",
            "stats/execution/success/total",
        ] {
            let mut machine = Machine::new();
            machine.tree.file("/dev/neuron0", "");
            let path = format!("{NEURON}/neuron0/{counter}");
            machine.tree.file(&path, "7\n");
            machine.tree.file(&format!("{NEURON}/neuron0/neuron_core0/stats/status/failure/total"), "1\n");
            assert_eq!(machine.after(0).unwrap(), ["neuron0: 100"], "nothing is known before");
            assert_eq!(machine.after(119).unwrap(), ["neuron0: 100"]);
            assert_eq!(machine.after(1).unwrap(), ["neuron0: 0"], "{counter}");
            machine.tree.file(&path, "8\n");
            assert_eq!(machine.after(10).unwrap(), ["neuron0: 100"], "{counter}");
            assert_eq!(machine.after(120).unwrap(), ["neuron0: 0"]);
            // It was reset.
            machine.tree.file(&path, "0\n");
            assert_eq!(machine.after(10).unwrap(), ["neuron0: 100"]);
        }
    }

    #[test]
    fn counters_that_vanish_or_make_no_sense_are_blind_and_come_back() {
        let mut machine = Machine::new();
        machine.tree.file("/dev/neuron0", "");
        let path = format!("{NEURON}/neuron0/neuron_core0/stats/status/success/total");
        machine.tree.file(&path, "7\n");
        machine.after(0).unwrap();
        machine.tree.file(&path, "many\n");
        assert!(machine.after(10).is_err());
        machine.tree.remove(NEURON);
        assert!(machine.blind().contains("/dev/neuron0"));
        machine.tree.file(&path, "9\n");
        assert_eq!(machine.after(10).unwrap(), ["neuron0: 100"]);
    }

    #[test]
    fn a_gpu_of_amd_tells_its_percentage_and_other_vendors_are_displays() {
        let mut machine = Machine::new();
        for (node, vendor) in [("renderD128", "0x1002\n"), ("renderD129", "0x1af4\n"), ("renderD130", "0x8086\n")] {
            machine.tree.file(&format!("/dev/dri/{node}"), "");
            machine.tree.file(&format!("/sys/class/drm/{node}/device/vendor"), vendor);
        }
        // A virtual display that is on no PCI bus.
        machine.tree.file("/dev/dri/renderD131", "");
        machine.tree.folder("/sys/class/drm/renderD131/device");
        machine.tree.file("/dev/kfd", "");
        let busy = "/sys/class/drm/renderD128/device/gpu_busy_percent";
        machine.tree.file(busy, "37\n");
        assert_eq!(machine.after(0).unwrap(), ["amd renderD128: 37"]);
        for garbage in ["", "-1\n", "300\n", "x\n"] {
            machine.tree.file(busy, garbage);
            assert!(machine.blind().contains("renderD128"), "{garbage}");
        }
        machine.tree.remove(busy);
        assert!(machine.blind().contains("renderD128"));
    }
}
