//! Utilisation of NVIDIA GPUs, through NVML, and of other accelerators (`others`).
//!
//! NVML keeps a buffer of samples, so short bursts between two looks are seen. The busiest of all GPUs counts; a mean
//! would hide one of eight. Memory that a process merely holds is shown and is no activity; neither is power, of which
//! a GPU at rest takes a fifth.
//!
//! A GPU on which processes only draw (a desktop) counts from a higher limit on. A partitioned one (MIG) tells no
//! utilisation: it is fully in use while the CPU time of a process on it moves (`workers`).
//!
//! A GPU that is there but does not answer is blind: one that fell off the bus, a driver that is unloaded or hangs, a
//! library that does not fit it. After any failure NVML is started anew.

mod others;
mod workers;

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
use others::{OtherError, Others, numbered};
use workers::{Lists, Workers};

/// What is known of it.
pub const SPEC: SourceSpec = SourceSpec {
    name: "gpu",
    about: "Utilisation of the busiest GPU or accelerator: NVIDIA, AMD, AWS Neuron.",
    unit: "%",
    scale: 1.0,
    combine: Combine::Sum,
    busy_above: 1.0,
    limits: None,
    average: Duration::from_mins(1),
    lane: Lane::Slow,
    deadline: Duration::from_secs(2),
    options: &[
        OptionSpec {
            key: "library",
            kind: OptionKind::Text,
            default: "\"\"",
            about: "File of NVIDIA's management library, if it is not where the loader finds libnvidia-ml.so.1.",
        },
        OptionSpec {
            key: "drawing_above",
            kind: OptionKind::Number,
            default: "10.0",
            about: "Utilisation in percent from which a GPU counts on which processes only draw.",
        },
    ],
    open: |context| Opened::Blocking(Box::new(Gpu::new(context))),
};

/// The default of `drawing_above`.
const DRAWING_ABOVE: f64 = 10.0;
/// The library's name for the loader.
const LIBRARY: &str = "libnvidia-ml.so.1";
/// What the driver makes when it is loaded.
const DEVICES: [&str; 4] = ["/dev/nvidiactl", "/dev/nvidia0", "/dev/neuron0", "/dev/kfd"];
/// Without a device file the library is looked for this often. Loading it takes a thread of its own.
const LOOK_FOR_LIBRARY_EVERY: Duration = Duration::from_mins(1);
/// The most entries of `/dev`.
const NODES: usize = 65_536;

/// Why a GPU could not be read.
#[derive(Debug, Error)]
enum GpuError {
    /// NVML refused.
    #[error(
        "{doing} {of}: {error}; repair the driver, or set 'enabled = false' in [source.gpu] if nobody computes on it"
    )]
    Nvml {
        /// The verb.
        doing: &'static str,
        /// The GPU or the library.
        of: String,
        /// Why.
        #[source]
        error: NvmlError,
    },
    /// There are devices and NVML knows none.
    #[error(
        "find the GPU of '{0}': NVML knows none; repair the driver, or set 'enabled = false' in [source.gpu] if nobody \
         computes on it"
    )]
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
    /// Another accelerator.
    #[error(transparent)]
    Other(#[from] OtherError),
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
    drawing_above: f64,
    workers: Workers,
    others: Others,
}

/// How much a GPU is in use.
struct Use {
    level: f64,
    /// By processes that only draw, and too little to count.
    drawn: bool,
    owner: Option<String>,
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
            drawing_above: context.number("drawing_above").unwrap_or(DRAWING_ABOVE),
            workers: Workers::new(context.host.clone()),
            others: Others::new(context.host.clone()),
        }
    }

    fn look(&mut self, now: Stamp) -> Result<Reading, GpuError> {
        let devices = match self.root.names("/dev", NODES) {
            Err(error) if error.is_missing() => Vec::new(),
            other => other?,
        };
        let others = self.others.look(now, &devices)?;
        let node = devices.iter().find(|name| numbered(name, "nvidia"));
        let nvidia = self.nvidia(now, node.map(|name| format!("/dev/{name}")))?;
        Ok(match nvidia {
            Reading::Signals(signals) => Reading::Signals([signals, others].concat()),
            Reading::Absent { .. } if !others.is_empty() => Reading::Signals(others),
            other => other,
        })
    }

    /// The GPUs of NVIDIA, of which `node` is a device file.
    fn nvidia(&mut self, now: Stamp, node: Option<String>) -> Result<Reading, GpuError> {
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
        let signals = self.measure(now, &nvml)?;
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

    fn measure(&mut self, now: Stamp, nvml: &Nvml) -> Result<Vec<Signal>, GpuError> {
        let count = nvml.device_count().map_err(|error| nvml_error("count", "the GPUs", error))?;
        let mut signals = Vec::new();
        self.workers.begin();
        for index in 0..count {
            let name = format!("GPU {index}");
            let device =
                nvml.device_by_index(index).map_err(|error| nvml_error("open", &name, error))?;
            let found = self.in_use(now, &device, index)?;
            let signal = Signal::new(format!("gpu {index}"), Value::Level { value: found.level });
            let signal = Signal { owner: found.owner, ..signal };
            signals.push(if found.drawn { signal.ignored() } else { signal });
            for (what, share) in [("memory", memory_share(&device)), ("power", power_share(&device))]
            {
                let shown = |value| Signal::new(format!("gpu {index} {what}"), Value::Shown { value });
                signals.extend(share.map(shown));
            }
        }
        Ok(signals)
    }

    fn in_use(&mut self, now: Stamp, device: &Device<'_>, index: u32) -> Result<Use, GpuError> {
        let lists = Lists::of(device);
        match self.utilisation(device, index) {
            Ok(level) => {
                let drawn = level < self.drawing_above && lists.as_ref().is_ok_and(Lists::only_draw);
                let owner = lists.ok().and_then(|lists| self.owner(&lists.all()));
                Ok(Use { level, drawn, owner })
            }
            Err(NvmlError::NotSupported) => {
                let name = format!("GPU {index}");
                let lists =
                    lists.map_err(|error| nvml_error("list the processes of", &name, error))?;
                let working = self.workers.at_work(now, &lists.all())?;
                let level = if working.is_empty() { 0.0 } else { 100.0 };
                Ok(Use { level, drawn: false, owner: self.owner(&working) })
            }
            Err(error) => Err(nvml_error("measure", &format!("GPU {index}"), error)),
        }
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
        let reading = self.look(now).unwrap_or_else(|error| blind(&error));
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

/// Memory in use, percent.
fn memory_share(device: &Device<'_>) -> Option<f64> {
    let memory = device.memory_info().ok()?;
    // Kibibytes of a GPU fit into 32 bits for a long time to come.
    let [used, total] = [memory.used, memory.total].map(|bytes| u32::try_from(bytes >> 10).ok());
    share(used?, total?)
}

/// Power that it takes, percent of what it may take.
fn power_share(device: &Device<'_>) -> Option<f64> {
    share(device.power_usage().ok()?, device.enforced_power_limit().ok()?)
}

fn share(part: u32, whole: u32) -> Option<f64> {
    (whole > 0).then(|| f64::from(part) * 100.0 / f64::from(whole))
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
