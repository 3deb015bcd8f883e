//! cloud-init that has not finished: the machine is still being set up.
//!
//! The files are those of cloud-init's own documentation ("Boot status"). `/run/cloud-init/result.json` is made when the last
//! stage ends; it is a link to `/var/lib/cloud/data`, where the file of an earlier boot may lie for ever, so the
//! link itself is asked for: `/run` is new after every boot. (`cloud-init clean` removes what it leads to; the set-up is
//! over all the same.) `status.json` tells the stage until then, and `disabled` is left by the systemd generator where
//! cloud-init does not run, which is also the case where it found no data source. After a reboot cloud-init runs again,
//! shortly, and counts until it has finished.

use std::time::Duration;

use agent_core::policy::Combine;
use agent_core::reading::{Reading, Signal, Value};
use agent_core::stamp::Stamp;

use super::{Lane, Opened, Source, SourceSpec, blind};
use crate::host::{HostError, HostRoot};

/// What is known of it.
pub const SPEC: SourceSpec = SourceSpec {
    name: "cloudinit",
    about: "The first set-up of the machine by cloud-init, until it has finished.",
    unit: "",
    scale: 1.0,
    combine: Combine::Sum,
    busy_above: 0.0,
    limits: None,
    average: Duration::from_mins(1),
    lane: Lane::Fast,
    deadline: Duration::from_millis(500),
    options: &[],
    open: |context| Opened::Blocking(Box::new(CloudInit::new(context.host.clone()))),
};

/// A set-up that takes longer hangs: two hours, in milliseconds.
const CAP_MS: u64 = 2 * 60 * 60 * 1000;
/// The most of `status.json` that is read.
const LIMIT: usize = 1 << 20;

#[derive(Debug)]
struct CloudInit {
    root: HostRoot,
    /// Its folder was there before, so its absence is a fault.
    seen: bool,
}

impl CloudInit {
    fn new(root: HostRoot) -> Self {
        Self { root, seen: false }
    }

    fn look(&mut self) -> Result<Reading, HostError> {
        if !self.root.exists("/run/cloud-init")? {
            if self.seen {
                return Err(HostError::malformed("/run/cloud-init", "it was there before"));
            }
            return Ok(Reading::absent("there is no '/run/cloud-init'"));
        }
        self.seen = true;
        if self.root.is_entry("/run/cloud-init/result.json")? {
            return Ok(Reading::Signals(Vec::new()));
        }
        if self.root.exists("/run/cloud-init/disabled")? {
            return Ok(Reading::absent("cloud-init is disabled on the machine"));
        }
        let signal = Signal::new("cloud-init", Value::Blocks { cap_ms: CAP_MS });
        let owner = self.stage().map(|stage| format!("stage {stage}"));
        Ok(Reading::Signals(vec![Signal { owner, ..signal }]))
    }

    /// The stage that runs, where `status.json` tells it. It is for people only: without it, cloud-init still runs.
    fn stage(&self) -> Option<String> {
        let text = self.root.read_text("/run/cloud-init/status.json", LIMIT).ok()?;
        let status: serde_json::Value = serde_json::from_str(&text).ok()?;
        let stage = status.pointer("/v1/stage")?.as_str()?;
        Some(stage.chars().filter(|c| !c.is_control()).take(40).collect())
    }
}

impl Source for CloudInit {
    fn read(&mut self, _now: Stamp) -> Reading {
        self.look().unwrap_or_else(|error| blind(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::tree::Tree;

    fn read(tree: &Tree) -> Reading {
        CloudInit::new(tree.root()).read(Stamp::default())
    }

    fn running(owner: Option<&str>) -> Reading {
        let signal = Signal::new("cloud-init", Value::Blocks { cap_ms: 7_200_000 });
        Reading::Signals(vec![Signal { owner: owner.map(str::to_owned), ..signal }])
    }

    #[test]
    fn a_machine_without_cloud_init_has_none() {
        let tree = Tree::new();
        assert!(matches!(read(&tree), Reading::Absent { .. }));
        tree.file("/run/cloud-init/disabled", "");
        assert!(matches!(read(&tree), Reading::Absent { .. }));
    }

    #[test]
    fn it_blocks_until_its_result_is_there() {
        let tree = Tree::new();
        tree.file("/run/cloud-init/enabled", "");
        assert_eq!(read(&tree), running(None));
        tree.file("/run/cloud-init/status.json", r#"{"v1": {"stage": "modules-final"}}"#);
        assert_eq!(read(&tree), running(Some("stage modules-final")));
        tree.file("/run/cloud-init/status.json", r#"{"v1": {"stage": null}}"#);
        assert_eq!(read(&tree), running(None));
        tree.file("/run/cloud-init/result.json", "{}");
        assert_eq!(read(&tree), Reading::Signals(Vec::new()));
    }

    #[test]
    fn a_status_that_makes_no_sense_does_not_end_the_block() {
        let tree = Tree::new();
        for content in ["", "{", "[]", "\u{0}", r#"{"v1": 3}"#] {
            tree.file("/run/cloud-init/status.json", content);
            assert_eq!(read(&tree), running(None), "{content}");
        }
        tree.file("/run/cloud-init/status.json", " ".repeat(LIMIT + 1));
        assert_eq!(read(&tree), running(None));
    }

    #[test]
    fn the_result_of_an_earlier_boot_does_not_end_the_block() {
        let tree = Tree::new();
        tree.file("/var/lib/cloud/data/result.json", "{}");
        tree.file("/run/cloud-init/enabled", "");
        assert_eq!(read(&tree), running(None));
        let link = tree.path("/run/cloud-init/result.json");
        std::os::unix::fs::symlink("../../var/lib/cloud/data/result.json", link).unwrap();
        assert_eq!(read(&tree), Reading::Signals(Vec::new()));
        tree.remove("/var/lib/cloud");
        assert_eq!(read(&tree), Reading::Signals(Vec::new()), "it was cleaned after the set-up");
    }

    #[test]
    fn what_cannot_be_looked_at_is_blind() {
        let tree = Tree::new();
        let mut source = CloudInit::new(tree.root());
        tree.folder("/run/cloud-init");
        source.read(Stamp::default());
        tree.remove("/run/cloud-init");
        assert!(matches!(source.read(Stamp::default()), Reading::Blind { .. }));
        std::os::unix::fs::symlink("cloud-init", tree.path("/run/cloud-init")).unwrap();
        assert!(matches!(read(&tree), Reading::Blind { .. }));
    }
}
