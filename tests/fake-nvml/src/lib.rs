//! A `libnvidia-ml.so.1` for tests, driven by a text file.
//!
//! The file is named by `FAKE_NVML_STATE`; without it, it lies beside the library and is called like it with `.state`
//! behind. It is read again at every call. A line each:
//!
//! - `init CODE`: `nvmlInit_v2` returns this code (default 0).
//! - `count CODE`: counting the devices returns this code.
//! - `hang MS`: every measurement takes this long.
//! - `slow MS`: `nvmlInit_v2` takes this long.
//! - `device KEY=VALUE …`: one more GPU. Keys: `util=PERCENT`, `samples=TIME:PERCENT,…`, `memory=USED/TOTAL` in kibibytes,
//!   `power=NOW/LIMIT` in milliwatts, `compute=PID[:KIBIBYTES],…`, `graphics=PID,…`, `mig=PARTITIONS`, `instance=PID,…`
//!   (processes of partition 0 that the whole GPU does not list), `error=CODE` (the GPU cannot be opened). `!CODE` as a
//!   value makes its call return that code. Without `util`, `samples`, `memory` or `power` their call returns 6
//!   (`NVML_ERROR_NOT_FOUND`).
//!
//! Codes are those of `nvmlReturn_t` in NVIDIA's `nvml.h`. A file that is missing or makes no sense gives 999
//! (`NVML_ERROR_UNKNOWN`).
#![expect(unsafe_code, reason = "a C interface is exported, and its callers' memory is written to")]

use std::ffi::{CStr, c_char, c_int, c_void};
use std::path::PathBuf;
use std::time::Duration;

const SUCCESS: u32 = 0;
const INVALID_ARGUMENT: u32 = 2;
const NOT_FOUND: u32 = 6;
const INSUFFICIENT_SIZE: u32 = 7;
const UNKNOWN: u32 = 999;
/// `NVML_VALUE_TYPE_UNSIGNED_INT` of `nvmlValueType_t`.
const UNSIGNED_INT: u32 = 1;
/// The handle of a partition is that of its GPU and this times its number, counted from 1.
const PARTITION: usize = 1 << 16;

/// `nvmlUtilization_t`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Utilization {
    gpu: u32,
    memory: u32,
}

/// `nvmlSample_t`, with the union as a number.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    time: u64,
    value: u64,
}

/// `nvmlMemory_v2_t`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    version: u32,
    total: u64,
    reserved: u64,
    free: u64,
    used: u64,
}

/// `nvmlProcessInfo_t` of the calls that end in `_v3`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Process {
    pid: u32,
    memory: u64,
    instance: u32,
    compute_instance: u32,
}

/// `Dl_info` of dladdr(3).
#[repr(C)]
struct Located {
    file: *const c_char,
    base: *mut c_void,
    name: *const c_char,
    symbol: *mut c_void,
}

unsafe extern "C" {
    fn dladdr(address: *const c_void, found: *mut Located) -> c_int;
}

#[derive(Debug, Default)]
struct State {
    init: u32,
    count: u32,
    hang: u64,
    slow: u64,
    devices: Vec<Vec<(String, String)>>,
}

fn state_file() -> Option<PathBuf> {
    if let Some(file) = std::env::var_os("FAKE_NVML_STATE") {
        return Some(file.into());
    }
    let mut found = Located {
        file: std::ptr::null(),
        base: std::ptr::null_mut(),
        name: std::ptr::null(),
        symbol: std::ptr::null_mut(),
    };
    let address: *const c_void = (nvmlInit_v2 as extern "C" fn() -> u32) as *const c_void;
    // SAFETY: the address lies in this library, and `found` is valid for the call.
    let known = unsafe { dladdr(address, &raw mut found) };
    if known == 0 || found.file.is_null() {
        return None;
    }
    // SAFETY: dladdr filled in a string that lives as long as this library is loaded.
    let file = unsafe { CStr::from_ptr(found.file) };
    Some(PathBuf::from(format!("{}.state", file.to_str().ok()?)))
}

/// The state, or the code to return.
fn state() -> Result<State, u32> {
    let text = state_file().and_then(|file| std::fs::read_to_string(file).ok()).ok_or(UNKNOWN)?;
    let mut state = State::default();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let mut words = line.split_ascii_whitespace();
        let key = words.next().unwrap_or_default();
        if key == "device" {
            let pair = |word: &str| {
                word.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned()))
            };
            state.devices.push(words.filter_map(pair).collect());
            continue;
        }
        let value = words.next().ok_or(UNKNOWN)?;
        match key {
            "init" => state.init = number(value)?,
            "count" => state.count = number(value)?,
            "hang" => state.hang = number(value)?,
            "slow" => state.slow = number(value)?,
            _ => return Err(UNKNOWN),
        }
    }
    Ok(state)
}

/// The value of a key of a GPU, after the scripted pause; or the code to return.
fn value(device: *mut c_void, key: &str) -> Result<String, u32> {
    let state = state()?;
    std::thread::sleep(Duration::from_millis(state.hang));
    let handle = device as usize;
    let partition = handle / PARTITION;
    let index = (handle % PARTITION).checked_sub(1).ok_or(INVALID_ARGUMENT)?;
    let entries = state.devices.get(index).ok_or(INVALID_ARGUMENT)?;
    let key = match (partition, key) {
        (0, _) => key,
        // Only the first partition has the processes of `instance`.
        (1, "compute") => "instance",
        _ => return Err(NOT_FOUND),
    };
    let found = entries.iter().find(|(name, _)| name == key);
    let (_, value) = found.ok_or(NOT_FOUND)?;
    match value.strip_prefix('!') {
        Some(code) => Err(code.parse().unwrap_or(UNKNOWN)),
        None => Ok(value.clone()),
    }
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, u32> {
    text.parse().map_err(|_| UNKNOWN)
}

/// The code of a result, whose value is written to `to`.
fn put<T>(to: *mut T, result: Result<T, u32>) -> u32 {
    match result {
        Ok(_) if to.is_null() => INVALID_ARGUMENT,
        Ok(value) => {
            // SAFETY: it is not null, and NVML's callers hand in pointers to what is to be filled in.
            unsafe { to.write(value) };
            SUCCESS
        }
        Err(code) => code,
    }
}

/// Fills in a list as NVML does: too little room, or none, gives the number that is needed.
fn put_list<T: Copy>(list: &[T], count: *mut u32, to: *mut T) -> u32 {
    if count.is_null() {
        return INVALID_ARGUMENT;
    }
    let needed = u32::try_from(list.len()).unwrap_or(u32::MAX);
    // SAFETY: it is not null, and callers hand in a valid count.
    let room = unsafe { count.read() };
    // SAFETY: as above.
    unsafe { count.write(needed) };
    if needed == 0 {
        return SUCCESS;
    }
    if to.is_null() || room < needed {
        return INSUFFICIENT_SIZE;
    }
    for (index, item) in list.iter().enumerate() {
        // SAFETY: the caller said that there is room for that many.
        unsafe { to.add(index).write(*item) };
    }
    SUCCESS
}

/// Starts the library.
#[unsafe(no_mangle)]
pub extern "C" fn nvmlInit_v2() -> u32 {
    let start = |state: State| {
        std::thread::sleep(Duration::from_millis(state.slow));
        state.init
    };
    state().map_or_else(|code| code, start)
}

/// Ends it.
#[unsafe(no_mangle)]
pub extern "C" fn nvmlShutdown() -> u32 {
    SUCCESS
}

/// The driver's version: always 999.0.
#[unsafe(no_mangle)]
pub extern "C" fn nvmlSystemGetDriverVersion(version: *mut c_char, length: u32) -> u32 {
    put_text(c"999.0", version, length)
}

fn put_text(text: &CStr, to: *mut c_char, length: u32) -> u32 {
    let text = text.to_bytes_with_nul();
    if to.is_null() || usize::try_from(length).is_ok_and(|length| length < text.len()) {
        return INSUFFICIENT_SIZE;
    }
    // SAFETY: the caller said that there is room.
    unsafe { to.copy_from_nonoverlapping(text.as_ptr().cast(), text.len()) };
    SUCCESS
}

/// The number of GPUs.
#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetCount_v2(count: *mut u32) -> u32 {
    let number = state().and_then(|state| match state.count {
        SUCCESS => u32::try_from(state.devices.len()).map_err(|_| UNKNOWN),
        code => Err(code),
    });
    put(count, number)
}

/// A handle: the index and one.
#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetHandleByIndex_v2(index: u32, device: *mut *mut c_void) -> u32 {
    let handle = usize::try_from(index).unwrap_or(usize::MAX).saturating_add(1);
    let opened = match value(handle as *mut c_void, "error") {
        Ok(code) => Err(code.parse().unwrap_or(UNKNOWN)),
        Err(NOT_FOUND) => Ok(handle as *mut c_void),
        Err(code) => Err(code),
    };
    put(device, opened)
}

/// The present utilisation.
#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetUtilizationRates(device: *mut c_void, to: *mut Utilization) -> u32 {
    let gpu = value(device, "util").and_then(|text| number(&text));
    put(to, gpu.map(|gpu| Utilization { gpu, memory: 0 }))
}

/// The samples that are newer than `since`.
#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetSamples(
    device: *mut c_void,
    _kind: u32,
    since: u64,
    value_kind: *mut u32,
    count: *mut u32,
    to: *mut Sample,
) -> u32 {
    let sample = |text: &str| {
        let (time, value) = text.split_once(':').ok_or(UNKNOWN)?;
        Ok(Sample { time: number(time)?, value: number(value)? })
    };
    let list = value(device, "samples")
        .and_then(|text| text.split(',').map(sample).collect::<Result<Vec<_>, u32>>());
    match list {
        Ok(mut list) => {
            list.retain(|sample| sample.time > since);
            if list.is_empty() {
                return NOT_FOUND;
            }
            put(value_kind, Ok(UNSIGNED_INT));
            put_list(&list, count, to)
        }
        Err(code) => code,
    }
}

fn put_processes(device: *mut c_void, key: &str, count: *mut u32, to: *mut Process) -> u32 {
    let process = |text: &str| {
        let (pid, memory) = text.split_once(':').unwrap_or((text, "0"));
        let memory = number::<u64>(memory)?.saturating_mul(1024);
        Ok(Process { pid: number(pid)?, memory, instance: u32::MAX, compute_instance: u32::MAX })
    };
    let list = match value(device, key) {
        Ok(text) => text.split(',').map(process).collect::<Result<Vec<_>, u32>>(),
        Err(NOT_FOUND) => Ok(Vec::new()),
        Err(code) => Err(code),
    };
    list.map_or_else(|code| code, |list| put_list(&list, count, to))
}

/// Processes that compute.
#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetComputeRunningProcesses_v3(
    device: *mut c_void,
    count: *mut u32,
    to: *mut Process,
) -> u32 {
    put_processes(device, "compute", count, to)
}

/// Processes that draw.
#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetGraphicsRunningProcesses_v3(
    device: *mut c_void,
    count: *mut u32,
    to: *mut Process,
) -> u32 {
    put_processes(device, "graphics", count, to)
}

/// Memory.
#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetMemoryInfo_v2(device: *mut c_void, to: *mut Memory) -> u32 {
    let memory = value(device, "memory").and_then(|text| {
        let (used, total) = text.split_once('/').ok_or(UNKNOWN)?;
        let [used, total] = [number::<u64>(used)?, number::<u64>(total)?].map(|kib| kib << 10);
        Ok(Memory { version: 0, total, reserved: 0, free: total.saturating_sub(used), used })
    });
    put(to, memory)
}

/// The power that it takes, milliwatts.
#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetPowerUsage(device: *mut c_void, to: *mut u32) -> u32 {
    put(to, power(device).map(|(now, _)| now))
}

/// The power that it may take, milliwatts.
#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetEnforcedPowerLimit(device: *mut c_void, to: *mut u32) -> u32 {
    put(to, power(device).map(|(_, limit)| limit))
}

fn power(device: *mut c_void) -> Result<(u32, u32), u32> {
    let text = value(device, "power")?;
    let (now, limit) = text.split_once('/').ok_or(UNKNOWN)?;
    Ok((number(now)?, number(limit)?))
}

/// Whether the GPU is partitioned.
#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetMigMode(
    device: *mut c_void,
    current: *mut u32,
    pending: *mut u32,
) -> u32 {
    let mode = partitions(device).map(|partitions| u32::from(partitions > 0));
    put(pending, mode);
    put(current, mode)
}

fn partitions(device: *mut c_void) -> Result<u32, u32> {
    match value(device, "mig") {
        Ok(text) => number(&text),
        Err(NOT_FOUND) => Ok(0),
        Err(code) => Err(code),
    }
}

/// The most partitions it may have: one more than there are, so that callers meet a gap.
#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetMaxMigDeviceCount(device: *mut c_void, count: *mut u32) -> u32 {
    put(count, partitions(device).map(|partitions| partitions + 1))
}

/// A handle of a partition.
#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetMigDeviceHandleByIndex(
    device: *mut c_void,
    index: u32,
    partition: *mut *mut c_void,
) -> u32 {
    let handle = partitions(device).and_then(|partitions| {
        if index >= partitions {
            return Err(NOT_FOUND);
        }
        let number = usize::try_from(index).map_err(|_| INVALID_ARGUMENT)? + 1;
        Ok((device as usize + PARTITION * number) as *mut c_void)
    });
    put(partition, handle)
}
