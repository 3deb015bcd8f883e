use super::*;
use crate::host::tree::{Process, Tree};
use crate::sources::BusMode;
use agent_core::reading::Role;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The fake library, built with the compiler that builds the tests and kept beside them. It needs nothing else.
fn library() -> &'static PathBuf {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fake-nvml/src/lib.rs");
        let tests = std::env::current_exe().unwrap();
        let library = tests.with_file_name("libfake-nvml.so");
        let modified = |file: &Path| std::fs::metadata(file)?.modified();
        if modified(&library).ok() > modified(Path::new(source)).ok() {
            return library;
        }
        // Several test programs may do this at once; a rename is never seen half done.
        let fresh = library.with_extension(std::process::id().to_string());
        let status = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
            .args(["--edition=2024", "--crate-type=cdylib", "--crate-name=nvidia_ml", "-o"])
            .arg(&fresh)
            .arg(source)
            .status()
            .unwrap();
        assert!(status.success(), "the fake library does not build");
        std::fs::rename(&fresh, &library).unwrap();
        library
    })
}

/// A machine with a fake library of its own, which reads its state from the file beside it.
struct Machine {
    tree: Tree,
    gpu: Gpu,
    now: Stamp,
}

impl Machine {
    fn new(state: &str) -> Self {
        let tree = Tree::new();
        tree.folder("/dev");
        let file = tree.path("/libnvidia-ml.so.1");
        std::fs::copy(library(), &file).unwrap();
        let mut options = toml::Table::new();
        options.insert("library".to_owned(), file.to_str().unwrap().into());
        let gpu = Gpu::new(&Context { host: tree.root(), options, bus: BusMode::None });
        let machine = Self { tree, gpu, now: Stamp::new(1_000_000, 0, 0) };
        machine.state(state);
        machine
    }

    fn state(&self, state: &str) {
        self.tree.file("/libnvidia-ml.so.1.state", state);
    }

    fn read(&mut self) -> Reading {
        self.after(0)
    }

    /// Reads so many seconds later.
    fn after(&mut self, seconds: u64) -> Reading {
        self.now = self.now.after(Duration::from_secs(seconds));
        self.gpu.read(self.now)
    }

    /// The levels, one a GPU.
    fn levels(&mut self) -> Vec<f64> {
        let Reading::Signals(signals) = self.read() else { panic!("{:?}", self.read()) };
        let level = |signal: &Signal| match signal.value {
            Value::Level { value } => Some(value),
            _ => None,
        };
        signals.iter().filter_map(level).collect()
    }

    fn why(&mut self) -> String {
        match self.read() {
            Reading::Blind { why } => why,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn every_gpu_has_a_level_a_memory_and_a_user() {
    let mut machine =
        Machine::new("device util=37 memory=1048576/4194304 compute=812,813\ndevice util=0\n");
    machine.tree.file("/proc/812/comm", "python3\n");
    let Reading::Signals(signals) = machine.read() else { panic!() };
    let subjects: Vec<_> = signals.iter().map(|signal| signal.subject.as_str()).collect();
    assert_eq!(subjects, ["gpu 0", "gpu 0 memory", "gpu 1"]);
    assert_eq!(signals[0].value, Value::Level { value: 37.0 });
    assert_eq!(signals[0].owner.as_deref(), Some("python3[812] and 1 more"));
    assert_eq!(signals[1].value, Value::Shown { value: 25.0 });
    assert_eq!(signals[2].value, Value::Level { value: 0.0 });
    assert_eq!(signals[2].owner, None);
}

#[test]
fn memory_that_is_merely_held_is_no_activity() {
    let mut machine = Machine::new("device util=0 memory=4000000/4194304 compute=812:99999\n");
    assert_eq!(machine.levels(), [0.0]);
}

#[test]
fn a_burst_between_two_looks_is_seen_once() {
    let mut machine = Machine::new("device util=0 samples=100:0,200:90,300:0\n");
    assert_eq!(machine.levels(), [90.0]);
    assert_eq!(machine.levels(), [0.0], "those samples were seen");
    machine.state("device util=0 samples=100:0,200:90,300:0,400:7\n");
    assert_eq!(machine.levels(), [7.0]);
    machine.state("device util=55 samples=500:3\n");
    assert_eq!(machine.levels(), [55.0], "at least the present utilisation");
}

#[test]
fn samples_do_for_a_gpu_without_a_present_utilisation() {
    let mut machine = Machine::new("device util=!3 samples=100:12\n");
    assert_eq!(machine.levels(), [12.0]);
}

#[test]
fn one_busy_gpu_of_nine_is_seen() {
    let mut state = "device util=0\n".repeat(8);
    state.insert_str(0, "device util=98\n");
    let levels = Machine::new(&state).levels();
    assert_eq!(levels, [98.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
}

#[test]
fn a_machine_without_a_gpu_has_none() {
    let tree = Tree::new();
    let context = |options| Context { host: tree.root(), options, bus: BusMode::None };
    let read = |options| Gpu::new(&context(options)).read(Stamp::default());
    assert!(matches!(read(toml::Table::new()), Reading::Absent { .. }));
    let missing = toml::Table::from_iter([("library".to_owned(), "/nowhere/lib.so".into())]);
    assert!(matches!(read(missing), Reading::Absent { .. }));
    let mut unloaded = Machine::new("init 9\n");
    assert!(matches!(unloaded.read(), Reading::Absent { .. }));
    let mut empty = Machine::new("");
    assert!(matches!(empty.read(), Reading::Absent { .. }));
}

#[test]
fn a_device_file_speaks_for_a_gpu_that_cannot_be_read() {
    for state in ["init 9\n", "init 18\n", ""] {
        let mut machine = Machine::new(state);
        machine.tree.file("/dev/nvidia0", "");
        assert!(machine.why().contains("/dev/nvidia0"));
    }
    let tree = Tree::new();
    tree.file("/dev/nvidia0", "");
    for library in ["", "/nowhere/lib.so"] {
        let options = toml::Table::from_iter([("library".to_owned(), library.into())]);
        let context = Context { host: tree.root(), options, bus: BusMode::None };
        let reading = Gpu::new(&context).read(Stamp::default());
        assert!(matches!(&reading, Reading::Blind { why } if why.contains("/dev/nvidia0")));
    }
}

#[test]
fn other_files_of_the_driver_do_not_speak_for_a_gpu() {
    let mut machine = Machine::new("init 9\n");
    for name in ["nvidiactl", "nvidia-uvm", "nvidia", "nvidia-caps"] {
        machine.tree.file(&format!("/dev/{name}"), "");
    }
    assert!(matches!(machine.read(), Reading::Absent { .. }));
}

#[test]
fn an_unknown_failure_of_nvml_is_blind_even_without_a_device_file() {
    assert!(Machine::new("init 999\n").why().contains("NVML"));
}

#[test]
fn every_failure_of_a_gpu_is_blind_and_passes() {
    for (state, of) in [
        ("device error=15\n", "GPU 0"),
        ("device util=5\ndevice error=15\n", "GPU 1"),
        ("device util=!15\n", "GPU 0"),
        ("device util=!999 samples=100:0\n", "GPU 0"),
        ("count 999\n", "GPUs"),
        ("garbage\n", "GPUs"),
    ] {
        let mut machine = Machine::new("device util=0\n");
        assert_eq!(machine.levels(), [0.0]);
        machine.state(state);
        assert!(machine.why().contains(of), "{state}");
        machine.state("device util=4\n");
        assert_eq!(machine.levels(), [4.0], "{state}");
    }
}

#[test]
fn gpus_that_vanish_are_blind() {
    let mut machine = Machine::new("device util=0\n");
    machine.levels();
    machine.state("");
    machine.why();
    machine.state("init 9\n");
    machine.why();
}

#[test]
fn a_job_on_a_partition_is_in_use_until_it_ends() {
    let mut machine = Machine::new("device util=!3 samples=!3 mig=2\n");
    assert_eq!(machine.levels(), [0.0]);
    for state in [
        "device util=!3 samples=!3 mig=2 compute=812\n",
        "device util=!3 samples=!3 mig=2 instance=812\n",
        "device util=!3 samples=!3 compute=812\n",
    ] {
        machine.state(state);
        // Five hours at 0.3 core, one look a minute.
        for look in 0..300 {
            let own = look * 1800;
            machine.tree.process(&Process::new(812, "python3").with(|p| p.own = own));
            let Reading::Signals(signals) = machine.after(60) else { panic!("{state}") };
            assert_eq!(signals[0].value, Value::Level { value: 100.0 }, "{state}");
        }
        machine.state("device util=!3 samples=!3 mig=2\n");
        assert_eq!(machine.levels(), [0.0], "{state}");
    }
}

#[test]
fn a_process_that_merely_holds_a_partition_is_no_activity() {
    let mut machine = Machine::new("device util=!3 samples=!3 mig=2 instance=812,813 memory=9/10\n");
    machine.tree.file("/proc/813/comm", "python3\n");
    for pid in [812, 813] {
        machine.tree.process(&Process::new(pid, "python3").with(|p| p.own = 900));
    }
    assert_eq!(machine.levels(), [100.0], "it is not known yet");
    machine.after(119);
    assert_eq!(machine.levels(), [100.0]);
    machine.after(1);
    assert_eq!(machine.levels(), [0.0]);
    machine.tree.process(&Process::new(813, "python3").with(|p| p.own = 906));
    let Reading::Signals(signals) = machine.after(5) else { panic!() };
    assert_eq!(signals[0].value, Value::Level { value: 100.0 });
    assert_eq!(signals[0].owner.as_deref(), Some("python3[813]"));
}

#[test]
fn partitions_whose_processes_cannot_be_listed_are_blind() {
    let mut machine = Machine::new("device util=!3 samples=!3 mig=2 compute=!4\n");
    assert!(machine.why().contains("list the processes"));
}

#[test]
fn a_desktop_that_only_draws_counts_from_a_higher_limit_on() {
    for (state, role) in [
        ("util=9 graphics=5", Role::Ignored),
        ("util=10 graphics=5", Role::Workload),
        ("util=9 graphics=5 compute=6", Role::Workload),
        ("util=9", Role::Workload),
        ("util=9 graphics=5 compute=!999", Role::Workload),
    ] {
        let mut machine = Machine::new(&format!("device {state}\n"));
        let Reading::Signals(signals) = machine.read() else { panic!("{state}") };
        assert_eq!(signals[0].role, role, "{state}");
    }
    let mut machine = Machine::new("device util=9 graphics=5\n");
    machine.gpu.drawing_above = 2.0;
    let Reading::Signals(signals) = machine.read() else { panic!() };
    assert_eq!(signals[0].role, Role::Workload);
}

#[test]
fn twenty_busy_seconds_in_ninety_are_never_idle_for_long() {
    // With the driver's buffer of samples and without; at every phase of looks five seconds apart.
    for (buffer, phase) in (0..5).flat_map(|phase| [(true, phase), (false, phase)]) {
        let mut machine = Machine::new("");
        let busy = |second: u64| if second % 90 < 20 { 3 } else { 0 };
        let mut used = 0;
        for second in (phase..1800_u64).step_by(5) {
            let samples: Vec<_> =
                (second.saturating_sub(9)..=second).map(|at| format!("{}:{}", at + 1, busy(at))).collect();
            let samples = if buffer { samples.join(",") } else { "!6".to_owned() };
            machine.state(&format!("device util={} samples={samples}\n", busy(second)));
            if machine.levels()[0] >= SPEC.busy_above {
                used = second;
            }
            assert!(second - used <= 75, "buffer {buffer}, phase {phase}, second {second}");
        }
    }
}

#[test]
fn power_is_shown_as_a_share_of_what_it_may_take() {
    let mut machine = Machine::new("device util=0 power=70000/700000\n");
    let Reading::Signals(signals) = machine.read() else { panic!() };
    assert_eq!(signals[1].subject, "gpu 0 power");
    assert_eq!(signals[1].value, Value::Shown { value: 10.0 });
}

#[test]
fn a_library_that_hangs_comes_back_in_the_end() {
    let mut machine = Machine::new("hang 50\ndevice util=9\n");
    let begun = std::time::Instant::now();
    assert_eq!(machine.levels(), [9.0]);
    assert!(begun.elapsed() >= Duration::from_millis(50));
}

#[test]
fn numbers_that_are_no_percentage_count_as_full_use() {
    for (value, expected) in [
        (SampleValue::F64(f64::NAN), 100.0),
        (SampleValue::F64(3.5), 3.5),
        (SampleValue::U32(7), 7.0),
        (SampleValue::U64(u64::MAX), 100.0),
        (SampleValue::I64(-1), 100.0),
    ] {
        assert!((percent(&value) - expected).abs() < 1e-9, "{value:?}");
    }
}

#[test]
fn this_machine_can_be_read() {
    let options = toml::Table::new();
    let context = Context { host: HostRoot::real(), options, bus: BusMode::None };
    let reading = Gpu::new(&context).read(Stamp::default());
    let plausible = !matches!(&reading, Reading::Signals(signals) if signals.is_empty());
    assert!(plausible, "{reading:?}");
}

#[test]
fn the_absence_of_a_gpu_stands_for_a_minute_unless_its_driver_makes_a_device() {
    let tree = Tree::new();
    tree.folder("/dev");
    let mut options = toml::Table::new();
    options.insert("library".to_owned(), tree.path("/no-library.so").to_str().unwrap().into());
    let mut gpu = Gpu::new(&Context { host: tree.root(), options, bus: BusMode::None });
    let at = |secs: u64| Stamp::new(secs * 1_000, 0, 0);
    assert_eq!(gpu.standing(at(0)), None, "nothing stands before the first look");
    let reading = gpu.read(at(10));
    assert!(matches!(reading, Reading::Absent { .. }), "{reading:?}");
    assert_eq!(gpu.standing(at(69)), Some(reading));
    assert_eq!(gpu.standing(at(70)), None, "the library is looked for again");
    tree.file("/dev/nvidiactl", "");
    assert_eq!(gpu.standing(at(20)), None, "the driver was loaded");
}
