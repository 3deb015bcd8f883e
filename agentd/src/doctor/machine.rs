//! The checks of what this machine provides: room and set-up for hibernation, the state folder, journald, the bus.

use std::fs;
use std::path::Path;

use super::Check;
use crate::aws::preflight::store_detail;
use crate::host::swap::{self, SwapArea};
use crate::host::{HostError, HostRoot, process, program, volume};

/// EC2 hibernates Linux instances with less memory than this. (AWS, "Hibernation prerequisites".)
const LARGEST_MEMORY_KIB: u64 = 150 * 1024 * 1024;
/// Where the hibernation agents of the distributions keep the swap file that they switch on just before hibernating.
const SWAP_FILES: [&str; 2] = ["/swap", "/swap-hibinit"];
/// What the hibernation agents of the distributions install (packages ec2-hibinit-agent, hibagent).
const AGENT_FILES: [&str; 5] = [
    "/usr/bin/hibinit-agent",
    "/usr/sbin/hibinit-agent",
    "/etc/hibinit-config.cfg",
    "/usr/lib/systemd/system/hibinit-agent.service",
    "/lib/systemd/system/hibinit-agent.service",
];

/// Whether this machine can be hibernated.
pub(super) fn hibernation(host: &HostRoot) -> Vec<Check> {
    let memory = meminfo(host);
    vec![
        kernel(host),
        memory_check(memory.as_ref()),
        swap(host, memory.as_ref()),
        resume(host),
        agent(host),
    ]
}

/// Whether a program of the configuration would be run when it is needed, which is no time to find out.
pub(super) fn hook(key: &str, path: &Path) -> Check {
    let name = format!("program:{}", path.display());
    match program::inspect(path, "program") {
        Ok(()) => Check::pass(name, format!("{key} can be run")),
        Err(why) => Check::fail(
            name,
            format!("{key}: {why}"),
            "give the real path of a program of root's, in folders that only root can change",
        ),
    }
}

/// `MemTotal` and `SwapTotal` of /proc/meminfo (`proc_meminfo(5)`), in units of 1024 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Meminfo {
    memory: u64,
    swap: u64,
}

fn meminfo(host: &HostRoot) -> Result<Meminfo, String> {
    let text =
        host.read_text("/proc/meminfo", 64 * 1024).map_err(|error| format!("failed to {error}"))?;
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        let number = line.and_then(|line| line.trim_start_matches(':').split_whitespace().next());
        number.and_then(|number| number.parse().ok())
    };
    let both = field("MemTotal").zip(field("SwapTotal"));
    both.map(|(memory, swap)| Meminfo { memory, swap })
        .ok_or_else(|| "/proc/meminfo has no totals".to_owned())
}

fn kernel(host: &HostRoot) -> Check {
    let name = "hibernation-kernel";
    match host.read_text("/sys/power/state", 4096) {
        Ok(states) if states.split_whitespace().any(|state| state == "disk") => {
            Check::pass(name, "the kernel can hibernate")
        }
        Ok(_) => Check::fail(
            name,
            "the kernel does not offer hibernation (/sys/power/state)",
            "use a kernel with CONFIG_HIBERNATION; Secure Boot's lockdown switches it off",
        ),
        Err(error) => Check::warn(name, format!("failed to {error}"), "look at /sys/power/state"),
    }
}

fn memory_check(memory: Result<&Meminfo, &String>) -> Check {
    let name = "hibernation-memory";
    match memory {
        Ok(Meminfo { memory, .. }) if *memory < LARGEST_MEMORY_KIB => {
            Check::pass(name, format!("{} of memory", gib(*memory)))
        }
        Ok(Meminfo { memory, .. }) => Check::fail(
            name,
            format!("{} of memory; EC2 hibernates less than 150 GiB", gib(*memory)),
            "use a smaller instance type, or set idle.action = \"stop\"",
        ),
        Err(why) => Check::warn(name, why.clone(), "look at /proc/meminfo"),
    }
}

/// The memory is written to swap, which is there now or comes from the hibernation agent's own file.
fn swap(host: &HostRoot, memory: Result<&Meminfo, &String>) -> Check {
    let name = "hibernation-swap";
    let Meminfo { memory, swap } = match memory {
        Ok(found) => found,
        Err(why) => return Check::warn(name, why.clone(), "look at /proc/meminfo"),
    };
    let areas = match swap::areas(host) {
        Ok(areas) => areas,
        Err(error) => return Check::warn(name, unread(&error), "look at /proc/swaps"),
    };
    let areas: Vec<SwapArea> = areas.into_iter().filter(|area| !area.is_memory()).collect();
    let target = hibernation_area(host, &areas);
    if let Some(first) = before(&areas, target) {
        return first;
    }
    // The memory is written to one area, however many there are.
    let swap = target.map_or(swap, |target| &target.kib);
    if swap >= memory {
        return Check::pass(name, format!("{} of swap", gib(*swap)));
    }
    let size = |path: &str| {
        host.inspect(path)
            .ok()
            .flatten()
            .filter(fs::Metadata::is_file)
            .map(|file| file.len() / 1024)
    };
    let file = SWAP_FILES
        .into_iter()
        .find_map(|path| size(path).filter(|kib| kib >= memory).map(|kib| (path, kib)));
    match file {
        Some((path, kib)) => Check::pass(name, format!("{path} has {}", gib(kib))),
        None => Check::fail(
            name,
            format!("{} of swap for {} of memory", gib(*swap), gib(*memory)),
            "install the hibernation agent (package ec2-hibinit-agent), which makes the swap file",
        ),
    }
}

/// The area that the memory is written to: the one that `resume=` names, the hibernation agent's own file, or the only one. A file
/// is named by the device that it lies on and `resume_offset=`, so the agent's file is looked for by its path.
fn hibernation_area<'a>(host: &HostRoot, areas: &'a [SwapArea]) -> Option<&'a SwapArea> {
    let line = host.read_text("/proc/cmdline", 64 * 1024).unwrap_or_default();
    let device = line.split_whitespace().find_map(|word| word.strip_prefix("resume="));
    let by_link = device.and_then(|device| {
        let (kind, value) = device.split_once('=')?;
        let by_name = format!("/dev/disk/by-{}/{value}", kind.to_ascii_lowercase());
        let target = fs::read_link(host.path(&by_name)).ok()?;
        Some(format!("/dev/{}", target.file_name()?.to_string_lossy()))
    });
    let device = by_link.as_deref().or(device);
    let of_agent = areas.iter().find(|area| SWAP_FILES.contains(&area.name.as_str()));
    let named = areas.iter().find(|area| Some(area.name.as_str()) == device);
    named.or(of_agent).or_else(|| areas.first().filter(|_| areas.len() == 1))
}

/// A warning if the kernel fills other swap before the area that the memory is written to: what was swapped out then lies where the
/// image does not reach, and hibernation is known to fail (ec2-hibinit-agent, "swap with a higher priority"). An area that the
/// hibernation agent switches on only then gets the lowest priority.
fn before(areas: &[SwapArea], target: Option<&SwapArea>) -> Option<Check> {
    let later = |area: &&SwapArea| match target {
        Some(target) => area.name != target.name && area.priority >= target.priority,
        None => areas.len() > 1,
    };
    let other = areas.iter().find(later)?;
    let own = target.map_or_else(
        || "the swap that resume= names".to_owned(),
        |target| format!("{} ({})", target.name, target.priority),
    );
    Some(Check::warn(
        "hibernation-swap",
        format!(
            "the kernel uses {} (priority {}) before {own}, which the memory is written to: hibernation is known to fail then",
            other.name, other.priority
        ),
        format!(
            "switch the other off ('swapoff {}', and /etc/fstab), or give the hibernation swap the highest priority (pri=)",
            other.name
        ),
    ))
}

/// Whether a stop would destroy what is on an instance store.
pub(super) fn instance_store(host: &HostRoot, allowed: bool) -> Check {
    let name = "instance-store";
    match volume::mounted_stores(host) {
        Ok(stores) => match stores.split_first() {
            None => Check::pass(name, "no instance store is mounted"),
            Some((first, more)) if allowed => Check::warn(
                name,
                format!(
                    "{} on {}{} is lost with every stop and hibernation, as idle.instance_store = \"allow\" says",
                    first.device,
                    first.folder,
                    if more.is_empty() { "" } else { " (and more)" }
                ),
                "keep nothing on it that is wanted afterwards",
            ),
            Some((first, more)) => Check::fail(
                name,
                store_detail(first, more.len()),
                "unmount it, or set idle.instance_store = \"allow\" if nothing on it is worth keeping",
            ),
        },
        Err(error) => Check::warn(name, unread(&error), "look at /sys/block and /proc/self/mounts"),
    }
}

/// Whether other people's processes can be seen, by which sessions and jobs are told.
pub(super) fn processes(host: &HostRoot) -> Check {
    let name = "processes";
    match process::hides_others(host) {
        Ok(false) => Check::pass(name, "/proc shows everybody's processes"),
        Ok(true) => Check::fail(
            name,
            format!("/proc: {}", process::HIDDEN),
            crate::cures::of_fault("hidepid=").unwrap_or_default(),
        ),
        Err(error) => Check::warn(name, unread(&error), "look at /proc/self/mounts"),
    }
}

/// Without `resume=` the kernel does not look for the saved memory, and the machine boots cold.
fn resume(host: &HostRoot) -> Check {
    let name = "hibernation-resume";
    match host.read_text("/proc/cmdline", 64 * 1024) {
        Ok(line) => match line.split_whitespace().find(|word| word.starts_with("resume=")) {
            Some(word) => Check::pass(name, word),
            None => Check::warn(
                name,
                "the kernel's command line has no resume=",
                "install the hibernation agent, or add resume= and resume_offset= to the boot loader's command line",
            ),
        },
        Err(error) => Check::warn(name, format!("failed to {error}"), "look at /proc/cmdline"),
    }
}

/// EC2 hibernates by an ACPI sleep button, which the hibernation agent answers.
fn agent(host: &HostRoot) -> Check {
    let name = "hibernation-agent";
    match AGENT_FILES.into_iter().find(|path| host.exists(path).unwrap_or(false)) {
        Some(path) => Check::pass(name, path),
        None => Check::warn(
            name,
            "no hibernation agent is installed, so nothing may answer EC2's sleep button",
            "install it: package ec2-hibinit-agent",
        ),
    }
}

fn gib(kib: u64) -> String {
    let tenths = kib * 10 / (1024 * 1024);
    format!("{}.{} GiB", tenths / 10, tenths % 10)
}

/// Whether state can be saved: without it the agent does not act. A file of its own is written and removed.
pub(super) fn state_folder(folder: &Path) -> Check {
    let path = folder.join(".doctor");
    let written = fs::write(&path, b"agentctl doctor\n").and_then(|()| fs::remove_file(&path));
    let shown = folder.display();
    match written {
        Ok(()) => Check::pass("state", format!("{shown} can be written")),
        Err(error) => Check::fail(
            "state",
            format!("failed to write in {shown}: {error}"),
            "make room, or make the file system writable; without its state the agent does not act",
        ),
    }
}

/// What of the system the agent speaks to.
pub(super) fn services(host: &HostRoot) -> Vec<Check> {
    let socket = |name: &str, path: &str, without: &str| match host.exists(path) {
        Ok(true) => Check::pass(name, path),
        Ok(false) => Check::warn(name, format!("there is no {path}"), without),
        Err(error) => Check::warn(name, unread(&error), without),
    };
    vec![
        socket(
            "journald",
            "/run/systemd/journal/socket",
            "without journald the log goes to standard error",
        ),
        socket(
            "system-bus",
            "/run/dbus/system_bus_socket",
            "install dbus; without it logind's inhibitors are not seen",
        ),
    ]
}

fn unread(error: &HostError) -> String {
    format!("failed to {error}")
}
