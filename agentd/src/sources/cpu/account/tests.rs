//! The account of CPU time against a kernel that is simulated: what the CPUs did, what groups are booked for, kernel threads,
//! and what is in no group.

use agent_core::reading::Reading;

use super::*;
use crate::host::tree::{Process, Tree};

/// Ticks of 10 ms in a second, as `/proc/PID/stat` and `/proc/stat` count.
const TICKS: f64 = 100.0;
const STEP: Duration = Duration::from_secs(10);
const KERNEL_THREAD: u32 = 0x0020_8040;

/// So many cores of each kind in a step.
#[derive(Clone, Copy, Debug, Default)]
struct Cores {
    groups: f64,
    threads: f64,
    nfsd: f64,
    /// In the total and in no group.
    lost: f64,
    steal: f64,
}

/// How the kernel tells its total.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tells {
    Scheduler,
    Idle,
}

struct Kernel {
    tree: Tree,
    account: Account,
    now: Stamp,
    tells: Tells,
    cpus: u32,
    sum: Cores,
    /// What the total is wrong by, cores.
    wrong: f64,
    wrong_sum: f64,
    seconds: f64,
}

impl Kernel {
    fn new(tells: Tells) -> Self {
        let tree = Tree::new();
        tree.cgroup("system.slice", 0, &[]);
        tree.cgroup("", 0, &[2, 3]);
        let account = Account::new(tree.root());
        let now = Stamp::new(1_000_000, 0, 0);
        let (sum, cpus) = (Cores::default(), 2);
        Self { tree, account, now, tells, cpus, sum, wrong: 0.0, wrong_sum: 0.0, seconds: 0.0 }
    }

    fn write(&self) {
        let sum = &self.sum;
        let busy = sum.groups + sum.threads + sum.nfsd + sum.lost + self.wrong_sum;
        let stat = |idle: f64| {
            let ticks = |secs: f64| whole(secs * TICKS);
            // The busy columns are samples that nobody may believe.
            let columns = format!("{} 0 0 {} 0 0 0 {}", ticks(busy * 1.7), ticks(idle), ticks(sum.steal));
            let cpus = lines(0..self.cpus, "1 0 0 1 0 0 0 0");
            format!("cpu  {columns}\n{cpus}")
        };
        let boot = Duration::from_millis(self.now.boot_ms).as_secs_f64() * f64::from(self.cpus);
        self.tree.file("/proc/stat", stat(boot - busy));
        if self.tells == Tells::Scheduler {
            let first = format!("cpu0 0 0 0 0 0 0 {} 0 0\n", whole(busy * 1e9));
            let others = lines(1..self.cpus, "0 0 0 0 0 0 0 0 0");
            self.tree.file("/proc/schedstat", format!("version 15\ntimestamp 1\n{first}{others}"));
        }
        let thread = |pid, name: &str, secs: f64| {
            let used = whole(secs * TICKS);
            self.tree.process(
                &Process::new(pid, name).with(|p| (p.flags, p.own) = (KERNEL_THREAD, used)),
            );
        };
        thread(2, "rcu_preempt", sum.threads);
        thread(3, "nfsd", sum.nfsd);
    }

    /// One look after so many cores were used for ten seconds.
    fn step(&mut self, cores: Cores) -> Vec<Signal> {
        let secs = STEP.as_secs_f64();
        self.now = self.now.after(STEP);
        self.seconds += secs;
        self.sum.groups += cores.groups * secs;
        self.sum.threads += cores.threads * secs;
        self.sum.nfsd += cores.nfsd * secs;
        self.sum.lost += cores.lost * secs;
        self.sum.steal += cores.steal * secs;
        self.wrong_sum += self.wrong * secs;
        self.write();
        let tops = [("system.slice".to_owned(), whole(self.sum.groups * 1e6))];
        let hierarchy = Hierarchy::find(&self.tree.root()).unwrap().unwrap();
        self.account.look(self.now, &hierarchy, &tops)
    }

    /// Minutes of it; what was told of each subject in the last ten of its looks, cores.
    fn minutes(&mut self, minutes: u32, cores: Cores) -> Vec<(String, Role, f64)> {
        let mut before = Vec::new();
        let mut last = Vec::new();
        for look in 1..=minutes * 6 {
            last = self.step(cores);
            if look + 10 == minutes * 6 {
                before.clone_from(&last);
            }
        }
        let total = |list: &[Signal], subject: &str| {
            let found = list.iter().find(|it| it.subject == subject);
            found.map_or(0, |it| if let Value::Counter { total } = it.value { total } else { 0 })
        };
        last.iter()
            .map(|it| {
                let grown = total(&last, &it.subject) - total(&before, &it.subject);
                (it.subject.clone(), it.role, secs(grown) / (10.0 * STEP.as_secs_f64()))
            })
            .collect()
    }
}

/// One line a CPU.
fn lines(cpus: std::ops::Range<u32>, columns: &str) -> String {
    cpus.flat_map(|cpu| ["cpu".to_owned(), cpu.to_string(), format!(" {columns}\n")]).collect()
}

/// A count of what is never negative.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive and small")]
fn whole(value: f64) -> u64 {
    value.max(0.0).round() as u64
}

fn told(list: &[(String, Role, f64)], role: Role) -> f64 {
    list.iter().filter(|(_, of, _)| *of == role).map(|(_, _, cores)| cores).sum()
}

fn text(signals: &[Signal]) -> String {
    let account = signals.iter().find(|it| it.subject == ACCOUNT).unwrap();
    account.owner.clone().unwrap_or_default()
}

#[test]
fn an_idle_machine_has_nothing_unexplained_by_either_total() {
    for tells in [Tells::Scheduler, Tells::Idle] {
        let mut kernel = Kernel::new(tells);
        let told_now = kernel.minutes(60, Cores { groups: 0.01, threads: 0.004, ..Cores::default() });
        assert!(told(&told_now, Role::Unexplained) < 0.005, "{tells:?}: {told_now:?}");
        let text = text(&kernel.step(Cores::default()));
        let total = if tells == Tells::Scheduler { "/proc/schedstat" } else { "the idle time" };
        assert!(text.starts_with(&format!("kept by {total}")), "{tells:?}: {text}");
    }
}

#[test]
fn the_measured_rests_stay_below_what_counts_for_an_hour() {
    for rest in [0.0007, 0.006, 0.0116, 0.029, 0.046] {
        let mut kernel = Kernel::new(Tells::Scheduler);
        for _ in 0..30 {
            let now = kernel.minutes(2, Cores { groups: 0.02, lost: rest, ..Cores::default() });
            assert!(told(&now, Role::Unexplained) < TOLERANCE, "{rest}: {now:?}");
        }
    }
}

#[test]
fn what_is_in_no_group_is_told_within_two_minutes_whole() {
    for tells in [Tells::Scheduler, Tells::Idle] {
        let mut kernel = Kernel::new(tells);
        kernel.minutes(5, Cores { groups: 0.02, ..Cores::default() });
        kernel.minutes(2, Cores { groups: 0.02, lost: 0.2, ..Cores::default() });
        let now = kernel.minutes(2, Cores { groups: 0.02, lost: 0.2, ..Cores::default() });
        let cores = told(&now, Role::Unexplained);
        assert!((0.15..0.25).contains(&cores), "{tells:?}: {now:?}");
    }
}

#[test]
fn busy_columns_of_the_kernel_are_never_believed() {
    // They say 1.7 times what was used, and nothing comes of it.
    let mut kernel = Kernel::new(Tells::Idle);
    let now = kernel.minutes(30, Cores { groups: 1.0, ..Cores::default() });
    assert!(told(&now, Role::Unexplained) < 0.01, "{now:?}");
}

#[test]
fn a_share_of_a_busy_machine_is_the_error_of_its_account() {
    let mut kernel = Kernel::new(Tells::Scheduler);
    kernel.cpus = 16;
    // 1.9 % of ten cores that groups used.
    let now = kernel.minutes(30, Cores { groups: 10.0, lost: 0.19, ..Cores::default() });
    assert!(told(&now, Role::Unexplained) < TOLERANCE, "{now:?}");
    let now = kernel.minutes(30, Cores { groups: 10.0, lost: 0.5, ..Cores::default() });
    assert!(told(&now, Role::Unexplained) > 0.2, "{now:?}");
}

#[test]
fn kernel_threads_are_upkeep_and_those_that_serve_are_servers() {
    let mut kernel = Kernel::new(Tells::Scheduler);
    let now = kernel.minutes(30, Cores { threads: 0.05, nfsd: 0.3, ..Cores::default() });
    let of = |subject: &str| now.iter().find(|(it, ..)| it == subject).unwrap();
    let (_, role, cores) = of("kernel threads");
    assert!(*role == Role::Upkeep && (0.045..0.055).contains(cores), "{now:?}");
    let (_, role, cores) = of("kernel threads of nfsd");
    assert!(*role == Role::Server && (0.27..0.33).contains(cores), "{now:?}");
    assert!(told(&now, Role::Unexplained) < 0.01, "{now:?}");
}

#[test]
fn a_total_that_says_less_than_its_groups_is_not_believed_and_another_one_is_taken() {
    let mut kernel = Kernel::new(Tells::Scheduler);
    kernel.wrong = -0.3;
    kernel.minutes(10, Cores { groups: 0.6, ..Cores::default() });
    let signals = kernel.step(Cores { groups: 0.6, ..Cores::default() });
    // The idle column of this kernel is wrong in the same way.
    let text = text(&signals);
    assert!(text.contains("misses 0.30 core") && text.contains("groups count as they are"), "{text}");
}

#[test]
fn a_rest_that_is_negative_for_a_moment_hides_no_work_that_comes_later() {
    let mut kernel = Kernel::new(Tells::Scheduler);
    kernel.minutes(5, Cores { groups: 0.02, ..Cores::default() });
    // The scheduler books a task late: two seconds are missing, and come back.
    kernel.wrong = -0.2;
    kernel.step(Cores { groups: 0.2, ..Cores::default() });
    kernel.wrong = 0.0;
    let now = kernel.minutes(5, Cores { groups: 0.02, lost: 0.1, ..Cores::default() });
    assert!(told(&now, Role::Unexplained) >= TOLERANCE, "{now:?}");
}

#[test]
fn a_cpu_that_goes_off_line_ends_the_comparison_and_is_no_work() {
    for tells in [Tells::Scheduler, Tells::Idle] {
        let mut kernel = Kernel::new(tells);
        kernel.cpus = 4;
        kernel.minutes(5, Cores { groups: 0.02, ..Cores::default() });
        kernel.cpus = 2;
        let now = kernel.minutes(5, Cores { groups: 0.02, ..Cores::default() });
        assert!(told(&now, Role::Unexplained) < 0.01, "{tells:?}: {now:?}");
    }
}

#[test]
fn in_a_container_the_total_is_its_own_and_never_the_hosts() {
    let mut kernel = Kernel::new(Tells::Scheduler);
    kernel.tree.file("/sys/fs/cgroup/cgroup.events", "populated 1\nfrozen 0\n");
    // The host uses three cores of its own.
    let mut last = Vec::new();
    for look in 0..60_u32 {
        kernel.tree.cgroup("", u64::from(look) * 200_000, &[]);
        last = kernel.step(Cores { groups: 0.02, lost: 3.0, ..Cores::default() });
    }
    let text = text(&last);
    assert!(text.contains("the top control group, which is not the machine's"), "{text}");
    let unexplained = last.iter().find(|it| it.subject == UNEXPLAINED).unwrap();
    assert_eq!(unexplained.value, Value::Counter { total: 0 });
}

#[test]
fn without_any_total_it_is_said_and_nothing_is_called_unexplained() {
    let mut kernel = Kernel::new(Tells::Idle);
    kernel.minutes(2, Cores::default());
    kernel.tree.file("/proc/stat", "garbage\n");
    let tops = [("system.slice".to_owned(), 5)];
    let hierarchy = Hierarchy::find(&kernel.tree.root()).unwrap().unwrap();
    let signals = kernel.account.look(kernel.now.after(STEP), &hierarchy, &tops);
    assert!(text(&signals).contains("/proc/stat"), "{}", text(&signals));
}

#[test]
fn stolen_time_is_nobodys() {
    let mut kernel = Kernel::new(Tells::Scheduler);
    let now = kernel.minutes(30, Cores { groups: 0.1, lost: 0.4, steal: 0.4, ..Cores::default() });
    assert!(told(&now, Role::Unexplained) < TOLERANCE, "{now:?}");
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(48))]

    /// However a load is spread over groups, kernel servers and what is in no group, it is told somewhere.
    #[test]
    fn no_spread_of_a_load_escapes(parts in proptest::array::uniform3(0.0_f64..1.0), load in 0.3_f64..2.0) {
        let sum: f64 = parts.iter().sum::<f64>().max(0.01);
        let [groups, nfsd, lost] = parts.map(|part| part / sum * load);
        let mut kernel = Kernel::new(Tells::Scheduler);
        let now = kernel.minutes(10, Cores { groups, nfsd, lost, ..Cores::default() });
        let told_now = groups + told(&now, Role::Server) + told(&now, Role::Unexplained);
        // What may be missing is the error of the account.
        proptest::prop_assert!(told_now >= load - TOLERANCE - PART * load, "{now:?}");
    }
}

/// What was told as unexplained so far, microseconds.
fn unexplained(signals: &[Signal]) -> u64 {
    let found = signals.iter().find(|it| it.subject == UNEXPLAINED).unwrap();
    if let Value::Counter { total } = found.value { total } else { panic!("{found:?}") }
}

/// The most cores that any minute of these looks, one each ten seconds, was told.
fn busiest_minute(told: &[u64]) -> f64 {
    told.windows(7).map(|minute| secs(minute[6] - minute[0]) / 60.0).fold(0.0, f64::max)
}

#[test]
fn a_rest_that_is_an_error_is_below_the_limit_in_each_minute_of_an_hour_even_if_somebody_asks_for_whole_looks() {
    for rest in [0.012, 0.03, 0.045] {
        let mut kernel = Kernel::new(Tells::Scheduler);
        let mut told = Vec::new();
        for look in 0..360 {
            // Looks before an action are whole ones, whenever they are.
            if look % 29 == 7 {
                kernel.account.refresh();
            }
            let signals = kernel.step(Cores { groups: 0.03, lost: rest, ..Cores::default() });
            told.push(unexplained(&signals));
        }
        let most = busiest_minute(&told);
        assert!(most < TOLERANCE, "{rest}: {most}");
        let mean = secs(*told.last().unwrap()) / 3600.0;
        assert!((mean - rest).abs() < 0.003, "{rest}: it is told all the same, {mean}");
    }
}

#[test]
fn what_is_told_never_falls_and_a_lump_once_a_minute_is_told_once() {
    let mut kernel = Kernel::new(Tells::Scheduler);
    let mut told = Vec::new();
    for look in 0..120_u32 {
        // 2.4 seconds of work in one look of six: 0.04 core.
        let lost = if look % 6 == 3 { 0.24 } else { 0.0 };
        told.push(unexplained(&kernel.step(Cores { groups: 0.02, lost, ..Cores::default() })));
    }
    assert!(told.windows(2).all(|pair| pair[0] <= pair[1]), "{told:?}");
    let all = secs(*told.last().unwrap());
    assert!((44.0..=48.0).contains(&all), "20 lumps of 2.4 seconds: {all}");
}

#[test]
fn idle_time_that_waits_for_a_disk_and_falls_back_is_no_work() {
    let tree = Tree::new();
    let stat = |idle: u64, iowait: u64| {
        tree.file("/proc/stat", format!("cpu  {} 0 0 {idle} {iowait} 0 0 0\ncpu0 1 0 0 1 0 0 0 0\n", idle / 9));
        let mut totals = Totals::new(tree.root());
        tree.cgroup("system.slice", 0, &[]);
        let hierarchy = Hierarchy::find(&tree.root()).unwrap().unwrap();
        let now = Stamp::new(1_000_000 + idle * 10, 0, 0);
        totals.read(now, &hierarchy, false).unwrap().unwrap()
    };
    let before = stat(100_000, 5_000);
    // A second of waiting was taken back and is idle time now.
    let after = stat(101_000, 4_900);
    assert_eq!(after.since(&before), Some(1_000_000), "ten seconds less nine");
    assert_eq!(before.since(&before), None, "columns that nobody keeps say nothing");
}

#[test]
fn a_new_version_of_the_schedulers_file_is_not_guessed_at() {
    let mut kernel = Kernel::new(Tells::Scheduler);
    kernel.minutes(3, Cores { groups: 0.02, ..Cores::default() });
    // From now on it is there in a form that nobody knows.
    kernel.tells = Tells::Idle;
    kernel.tree.file("/proc/schedstat", "version 18\ncpu0 1 2 3\n");
    let now = kernel.minutes(5, Cores { groups: 0.02, lost: 0.2, ..Cores::default() });
    assert!((0.15..0.25).contains(&told(&now, Role::Unexplained)), "{now:?}");
    assert!(text(&kernel.step(Cores::default())).starts_with("kept by the idle time"));
}

#[test]
fn the_legacy_hierarchy_has_no_account_and_that_is_said() {
    let tree = Tree::new();
    tree.cgroup_v1("system.slice", 0, &[]);
    tree.cgroup_v1("", 0, &[2]);
    let mut account = Account::new(tree.root());
    let hierarchy = Hierarchy::find(&tree.root()).unwrap().unwrap();
    let mut last = Vec::new();
    for minute in 0..5_u64 {
        let used = minute * 3000;
        tree.process(&Process::new(2, "rcu").with(|p| (p.flags, p.own) = (KERNEL_THREAD, used)));
        tree.file("/proc/stat", format!("cpu  {used} 0 0 {used} 0 0 0 0\ncpu0 1 0 0 1 0 0 0 0\n"));
        last = account.look(Stamp::new(1_000_000 + minute * 60_000, 0, 0), &hierarchy, &[]);
    }
    assert!(text(&last).contains("version 1"), "{}", text(&last));
    assert_eq!(unexplained(&last), 0);
    let threads = last.iter().find(|it| it.subject == "kernel threads").unwrap();
    assert!(matches!(threads.value, Value::Counter { total } if total > 0), "{threads:?}");
}

#[test]
fn the_last_of_a_group_of_the_top_that_vanished_is_unexplained_and_named() {
    let mut kernel = Kernel::new(Tells::Scheduler);
    kernel.minutes(3, Cores { groups: 0.02, ..Cores::default() });
    let mut last = Vec::new();
    // Every ten seconds a group at the top comes, uses two seconds, and is gone before the next look but one.
    for _ in 0..18_u32 {
        kernel.now = kernel.now.after(STEP);
        kernel.sum.lost += 2.0;
        kernel.write();
        let hierarchy = Hierarchy::find(&kernel.tree.root()).unwrap().unwrap();
        let system = ("system.slice".to_owned(), whole(kernel.sum.groups * 1e6));
        // It was seen when it had used nothing yet.
        let tops = [system.clone(), ("kubepods".to_owned(), 0)];
        kernel.account.look(kernel.now, &hierarchy, &tops);
        kernel.now = kernel.now.after(STEP);
        kernel.write();
        last = kernel.account.look(kernel.now, &hierarchy, &[system]);
    }
    assert!(secs(unexplained(&last)) > 30.0, "{last:?}");
    let owner = last.iter().find(|it| it.subject == UNEXPLAINED).unwrap().owner.clone();
    assert_eq!(owner.as_deref(), Some("perhaps the last of kubepods"));
}

#[test]
fn fifteen_hundred_kernel_threads_of_a_large_machine_at_rest_are_below_every_limit() {
    let mut kernel = Kernel::new(Tells::Scheduler);
    kernel.cpus = 96;
    let pids: Vec<u32> = (2..1502).collect();
    kernel.tree.cgroup("", 0, &pids);
    let thread = |pid: u32, own| {
        Process::new(pid, "kworker/7:1-events").with(|p| (p.flags, p.own) = (KERNEL_THREAD, own))
    };
    for pid in &pids[2..] {
        kernel.tree.process(&thread(*pid, 7));
    }
    let mut told_all = Vec::new();
    let mut last = Vec::new();
    for look in 1..=90_u64 {
        // Fifty of them use a hundredth of a second each in each look: a twentieth of a core.
        for pid in 100..150 {
            kernel.tree.process(&thread(pid, 7 + look));
        }
        kernel.sum.lost += 0.5;
        last = kernel.step(Cores { groups: 0.03, lost: 0.01, ..Cores::default() });
        told_all.push(unexplained(&last));
    }
    assert!(busiest_minute(&told_all) < TOLERANCE, "{told_all:?}");
    let threads = last.iter().find(|it| it.subject == "kernel threads").unwrap();
    let Value::Counter { total } = threads.value else { panic!("{threads:?}") };
    assert!((30.0..=46.0).contains(&secs(total)), "{threads:?}");
    assert_eq!(threads.role, Role::Upkeep);
}

#[test]
fn an_account_that_cannot_be_compared_any_more_says_so() {
    let mut kernel = Kernel::new(Tells::Scheduler);
    kernel.minutes(5, Cores { groups: 0.02, ..Cores::default() });
    // The counter falls at each look.
    for _ in 0..3 {
        kernel.sum = Cores { groups: kernel.sum.groups, ..Cores::default() };
        kernel.wrong_sum -= 30.0;
        let signals = kernel.step(Cores { groups: 0.0, ..Cores::default() });
        if text(&signals).contains("cannot be compared") {
            return;
        }
    }
    panic!("it is said to be kept");
}

/// In which of so many minutes of looks the engine saw use, as a list of looks, after five minutes at rest.
fn uses(kernel: &mut Kernel, minutes: u32, cores: Cores) -> Vec<u32> {
    let mut judge = crate::sources::tests::Judge::of("cpu", kernel.now);
    let rest = Cores { groups: 0.02, threads: 0.004, ..Cores::default() };
    for _ in 0..30 {
        let signals = kernel.step(rest);
        judge.is_use(kernel.now, Reading::Signals(signals));
    }
    let mut used = Vec::new();
    for look in 1..=minutes * 6 {
        let signals = kernel.step(cores);
        if judge.is_use(kernel.now, Reading::Signals(signals)) {
            used.push(look);
        }
    }
    used
}

#[test]
fn the_engine_sees_no_use_in_the_error_of_an_account_in_an_hour() {
    for tells in [Tells::Scheduler, Tells::Idle] {
        for lost in [0.012, 0.03] {
            let mut kernel = Kernel::new(tells);
            let used = uses(&mut kernel, 60, Cores { lost, groups: 0.02, threads: 0.05, ..Cores::default() });
            assert!(used.is_empty(), "{tells:?}, {lost}: {used:?}");
        }
    }
}

#[test]
fn the_engine_sees_use_in_a_rest_within_two_minutes_and_for_as_long_as_it_lasts() {
    for tells in [Tells::Scheduler, Tells::Idle] {
        for lost in [0.08, 0.2] {
            let mut kernel = Kernel::new(tells);
            let used = uses(&mut kernel, 30, Cores { lost, groups: 0.02, ..Cores::default() });
            assert!(used.first().is_some_and(|look| *look <= 12), "{tells:?}, {lost}: {used:?}");
            assert!(used.len() >= 168, "{tells:?}, {lost}: {used:?}");
        }
    }
}

#[test]
fn the_engine_sees_use_in_a_server_in_the_kernel() {
    let mut kernel = Kernel::new(Tells::Scheduler);
    let used = uses(&mut kernel, 30, Cores { nfsd: 0.2, groups: 0.02, ..Cores::default() });
    assert!(used.first().is_some_and(|look| *look <= 18) && used.len() >= 160, "{used:?}");
}
