//! Utilisation of NVIDIA GPUs, through NVML.
//!
//! NVML keeps a buffer of samples, so short bursts between two looks are seen. The busiest of all GPUs counts; a mean
//! would hide one of eight. Memory that a process merely holds is shown and is no activity.
//!
//! A GPU that is there but does not answer is blind. A partitioned one (MIG) has no utilisation: it is idle while no
//! process is on it, and blind while one is.

use std::collections::BTreeMap;
use std::time::Duration;

use agent_core::policy::Combine;
use agent_core::reading::{Reading, Signal, Value};
use agent_core::stamp::Stamp;
use nvml_wrapper::Nvml;
use nvml_wrapper::device::Device;
use nvml_wrapper::enum_wrappers::device::Sampling;
use nvml_wrapper::enums::device::SampleValue;
use nvml_wrapper::error::NvmlError;
use thiserror::Error;

use super::{Context, Lane, Opened, OptionKind, OptionSpec, Source, SourceSpec, blind};
use crate::host::{HostError, HostRoot};

/// What is known of it.
pub const SPEC: SourceSpec = SourceSpec {
    name: "gpu",
    about: "Utilisation of the busiest NVIDIA GPU.",
    unit: "%",
    scale: 1.0,
    combine: Combine::Sum,
    busy_above: 1.0,
    average: Duration::from_mins(1),
    lane: Lane::Slow,
    deadline: Duration::from_secs(2),
    options: &[OptionSpec {
        key: "library",
        kind: OptionKind::Text,
        default: "\"\"",
        about: "File of NVIDIA's management library, if it is not where the loader finds libnvidia-ml.so.1.",
    }],
    open: |context| Opened::Blocking(Box::new(Gpu::new(context))),
};

/// The library's name for the loader.
const LIBRARY: &str = "libnvidia-ml.so.1";
/// What the driver makes when it is loaded.
const DEVICES: [&str; 2] = ["/dev/nvidiactl", "/dev/nvidia0"];
/// Without a device file the library is looked for this often. Loading it takes a thread of its own.
const LOOK_FOR_LIBRARY_EVERY: Duration = Duration::from_mins(1);
/// The most entries of `/dev`.
const NODES: usize = 65_536;

/// Why a GPU could not be read.
#[derive(Debug, Error)]
enum GpuError {
    /// NVML refused.
    #[error("{doing} {of}: {error}")]
    Nvml {
        /// The verb.
        doing: &'static str,
        /// The GPU or the library.
        of: String,
        /// Why.
        #[source]
        error: NvmlError,
    },
    /// A partitioned GPU with processes.
    #[error(
        "measure GPU {index}: it is partitioned (MIG) or does not tell its utilisation, and {processes} processes use it"
    )]
    Unmeasured {
        /// Which.
        index: u32,
        /// How many.
        processes: usize,
    },
    /// There are devices and NVML knows none.
    #[error("find the GPU of '{0}': NVML knows none")]
    Unlisted(String),
    /// There are devices and no library.
    #[error(
        "use the GPU of '{node}': {reason}; set 'enabled = false' in [source.gpu] if nobody computes on it"
    )]
    Unusable {
        /// A device file.
        node: String,
        /// Why.
        reason: String,
    },
    /// A file of the host.
    #[error(transparent)]
    Host(#[from] HostError),
}

struct Gpu {
    root: HostRoot,
    library: String,
    nvml: Option<Nvml>,
    /// GPUs were read once, so that their absence from now on is no absence.
    worked: bool,
    /// The newest sample that was seen, by GPU.
    newest: BTreeMap<u32, u64>,
    /// When there was found to be no GPU, and why.
    absent: Option<(Stamp, String)>,
}

impl Gpu {
    fn new(context: &Context) -> Self {
        Self {
            root: context.host.clone(),
            library: context.text("library").to_owned(),
            nvml: None,
            worked: false,
            newest: BTreeMap::new(),
            absent: None,
        }
    }

    fn look(&mut self) -> Result<Reading, GpuError> {
        let node = self.node()?;
        if !self.root.is_real() && self.library.is_empty() {
            return match node {
                None => Ok(Reading::absent("there is no '/dev/nvidia0'")),
                Some(node) => {
                    let reason = "it belongs to another machine".to_owned();
                    Err(GpuError::Unusable { node, reason })
                }
            };
        }
        let nvml = match self.nvml.take() {
            Some(nvml) => nvml,
            None => match self.start() {
                Ok(nvml) => nvml,
                Err(error) => return self.without(node, error),
            },
        };
        let signals = self.measure(&nvml)?;
        if signals.is_empty() {
            return match node {
                None if !self.worked => Ok(Reading::absent("NVML knows no GPU")),
                node => Err(GpuError::Unlisted(node.unwrap_or_default())),
            };
        }
        self.worked = true;
        // Kept only after success: after any error NVML is started anew, which survives a reload of the driver.
        self.nvml = Some(nvml);
        Ok(Reading::Signals(signals))
    }

    /// A device file of a GPU, if there is one.
    fn node(&self) -> Result<Option<String>, HostError> {
        let names = match self.root.names("/dev", NODES) {
            Err(error) if error.is_missing() => Vec::new(),
            other => other?,
        };
        let gpu = |name: &&String| {
            let number = name.strip_prefix("nvidia").unwrap_or_default();
            !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
        };
        Ok(names.iter().find(gpu).map(|name| format!("/dev/{name}")))
    }

    fn start(&self) -> Result<Nvml, NvmlError> {
        let library = if self.library.is_empty() { LIBRARY } else { &self.library };
        Nvml::builder().lib_path(library.as_ref()).init()
    }

    /// NVML did not start. That means that there is no GPU only if nothing else speaks for one.
    fn without(&self, node: Option<String>, error: NvmlError) -> Result<Reading, GpuError> {
        let absent = matches!(
            error,
            NvmlError::LibloadingError(_) | NvmlError::LibraryNotFound | NvmlError::DriverNotLoaded
        );
        match node {
            None if absent && !self.worked => {
                Ok(Reading::absent(format!("there is no NVIDIA GPU: {error}")))
            }
            Some(node) => Err(GpuError::Unusable { node, reason: error.to_string() }),
            None => Err(nvml_error("start", "NVML", error)),
        }
    }

    fn measure(&mut self, nvml: &Nvml) -> Result<Vec<Signal>, GpuError> {
        let count = nvml.device_count().map_err(|error| nvml_error("count", "the GPUs", error))?;
        let mut signals = Vec::new();
        for index in 0..count {
            let name = format!("GPU {index}");
            let device =
                nvml.device_by_index(index).map_err(|error| nvml_error("open", &name, error))?;
            let level = match self.utilisation(&device, index) {
                Ok(level) => level,
                Err(NvmlError::NotSupported) => idle_without_processes(index, processes(&device))?,
                Err(error) => return Err(nvml_error("measure", &name, error)),
            };
            let owner = processes(&device).ok().and_then(|users| self.owner(&users));
            let signal = Signal::new(format!("gpu {index}"), Value::Level { value: level });
            signals.push(Signal { owner, ..signal });
            if let Some(share) = memory_share(&device) {
                let subject = format!("gpu {index} memory");
                signals.push(Signal::new(subject, Value::Shown { value: share }));
            }
        }
        Ok(signals)
    }

    /// The highest utilisation since the last look in percent, at least the present one.
    fn utilisation(&mut self, device: &Device<'_>, index: u32) -> Result<f64, NvmlError> {
        let newest = self.newest.get(&index).copied();
        let samples = device.samples(Sampling::GpuUtilization, newest).unwrap_or_default();
        let present = device.utilization_rates().map(|rates| f64::from(rates.gpu));
        if samples.is_empty() {
            return present;
        }
        let highest = samples.iter().map(|sample| percent(&sample.value)).fold(0.0, f64::max);
        let newest = samples.iter().map(|sample| sample.timestamp).max();
        self.newest.extend(newest.map(|newest| (index, newest)));
        match present {
            Ok(present) => Ok(present.max(highest)),
            Err(NvmlError::NotSupported) => Ok(highest),
            Err(error) => Err(error),
        }
    }

    fn owner(&self, users: &[u32]) -> Option<String> {
        let first = users.first()?;
        let name = self.root.read_text(&format!("/proc/{first}/comm"), 4096).ok();
        let more =
            if users.len() > 1 { format!(" and {} more", users.len() - 1) } else { String::new() };
        Some(format!("{}[{first}]{more}", name.as_deref().map_or("pid", str::trim_end)))
    }
}

impl Source for Gpu {
    fn read(&mut self, now: Stamp) -> Reading {
        let reading = self.look().unwrap_or_else(|error| blind(&error));
        self.absent = match &reading {
            Reading::Absent { why } => Some((now, why.clone())),
            Reading::Signals(_) | Reading::Blind { .. } => None,
        };
        reading
    }

    /// A machine without a GPU does not get one between two looks unless its driver makes a device file.
    fn standing(&mut self, now: Stamp) -> Option<Reading> {
        let (since, why) = self.absent.as_ref()?;
        let recent = now.since(*since) < LOOK_FOR_LIBRARY_EVERY;
        let no_device =
            DEVICES.iter().all(|device| matches!(self.root.exists(device), Ok(false)));
        (recent && no_device).then(|| Reading::absent(why.clone()))
    }
}

/// The processes on a GPU, those on its partitions included.
fn processes(device: &Device<'_>) -> Result<Vec<u32>, NvmlError> {
    let mut found = device.running_compute_processes()?;
    found.extend(device.running_graphics_processes().unwrap_or_default());
    if device.mig_mode().is_ok_and(|mode| mode.current != 0) {
        for index in 0..device.mig_device_count()? {
            match device.mig_device_by_index(index) {
                Ok(partition) => found.extend(partition.running_compute_processes()?),
                // Partitions that were not made.
                Err(NvmlError::NotFound) => {}
                Err(error) => return Err(error),
            }
        }
    }
    let mut pids: Vec<u32> = found.into_iter().map(|process| process.pid).collect();
    pids.sort_unstable();
    pids.dedup();
    Ok(pids)
}

/// A GPU that does not tell its utilisation has none, if nobody is on it.
fn idle_without_processes(
    index: u32,
    processes: Result<Vec<u32>, NvmlError>,
) -> Result<f64, GpuError> {
    let found = processes
        .map_err(|error| nvml_error("list the processes of", &format!("GPU {index}"), error))?;
    if found.is_empty() {
        Ok(0.0)
    } else {
        Err(GpuError::Unmeasured { index, processes: found.len() })
    }
}

/// Memory in use, percent.
fn memory_share(device: &Device<'_>) -> Option<f64> {
    let memory = device.memory_info().ok()?;
    // Kibibytes of a GPU fit into 32 bits for a long time to come.
    let [used, total] = [memory.used, memory.total].map(|bytes| u32::try_from(bytes >> 10).ok());
    let (used, total) = (used?, total.filter(|total| *total > 0)?);
    Some(f64::from(used) * 100.0 / f64::from(total))
}

/// A sample as percent. Numbers that are no percentage count as full use.
fn percent(value: &SampleValue) -> f64 {
    let whole = |value: Option<u32>| value.map_or(100.0, f64::from);
    match value {
        SampleValue::F64(value) if value.is_finite() => *value,
        SampleValue::F64(_) => 100.0,
        SampleValue::U32(value) => f64::from(*value),
        SampleValue::U64(value) => whole(u32::try_from(*value).ok()),
        SampleValue::I64(value) => whole(u32::try_from(*value).ok()),
    }
}

fn nvml_error(doing: &'static str, of: &str, error: NvmlError) -> GpuError {
    GpuError::Nvml { doing, of: of.to_owned(), error }
}

#[cfg(test)]
mod tests;
