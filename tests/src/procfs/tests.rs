use std::os::unix::fs::MetadataExt;

use super::*;

fn usage(machine: &Machine, cgroup: &str) -> u64 {
    let stat = fs::read_to_string(machine.path(&format!("{CGROUPS}/{cgroup}/cpu.stat"))).unwrap();
    let first = stat.lines().next().unwrap();
    first.strip_prefix("usage_usec ").unwrap().parse().unwrap()
}

#[test]
fn an_idle_machine_has_systemd_and_nobody_logged_in() {
    let machine = Machine::idle().unwrap();
    assert!(machine.path("/proc/1/stat").exists());
    assert_eq!(fs::read_dir(machine.path("dev/pts")).unwrap().count(), 1);
    let stat = fs::read_to_string(machine.path("proc/420/stat")).unwrap();
    assert_eq!(stat.split(' ').count(), 52, "proc_pid_stat(5) has 52 fields");
}

#[test]
fn a_login_makes_a_scope_a_terminal_and_a_shell_and_a_logout_takes_them_away() {
    let machine = Machine::idle().unwrap();
    let session = machine.log_in(1000).unwrap();
    let procs = machine.path(&format!("{CGROUPS}/{}/cgroup.procs", session.cgroup));
    assert_eq!(fs::read_to_string(&procs).unwrap().lines().count(), 2);
    let stat = fs::read_to_string(machine.path(&format!("proc/{}/stat", session.shell))).unwrap();
    let tty = (136 << 8) | session.pts;
    assert!(session.pts > 255 || stat.split(' ').nth(6) == Some(&tty.to_string()), "{stat}");
    machine.log_out(&session).unwrap();
    assert!(!procs.exists() && fs::read_dir(machine.path("dev/pts")).unwrap().count() == 1);
    assert!(!machine.path(&format!("proc/{}", session.shell)).exists());
}

#[test]
fn a_key_changes_the_access_time_alone() {
    let machine = Machine::idle().unwrap();
    let session = machine.log_in(1000).unwrap();
    let path = machine.path(&format!("dev/pts/{}", session.pts));
    let before = fs::metadata(&path).unwrap();
    let then = SystemTime::now() - Duration::from_hours(2);
    machine.press_key_at(session.pts, then).unwrap();
    let after = fs::metadata(&path).unwrap();
    assert_eq!(after.mtime_nsec(), before.mtime_nsec());
    assert!(before.atime() - after.atime() >= 7_199);
}

#[test]
fn cpu_time_counts_in_the_cgroup_and_above_it_only() {
    let machine = Machine::idle().unwrap();
    let job = machine.start_job(1001, "python3").unwrap();
    let other = machine.start_job(1001, "idle").unwrap();
    machine.burn(&job, Duration::from_millis(250)).unwrap();
    for above in [job.as_str(), "user.slice/user-1001.slice", "user.slice", ""] {
        assert_eq!(usage(&machine, above), 250_000, "{above:?}");
    }
    assert_eq!((usage(&machine, &other), usage(&machine, "system.slice")), (0, 0));
}

#[test]
fn a_burner_works_until_it_is_dropped() {
    let machine = Machine::idle().unwrap();
    let job = machine.start_job(1000, "sh").unwrap();
    let burner = machine.keep_busy(&job, 1.0);
    while usage(&machine, &job) == 0 {
        thread::yield_now();
    }
    drop(burner);
    let end = usage(&machine, &job);
    thread::sleep(BURN_STEP * 2);
    assert_eq!(usage(&machine, &job), end);
}

#[test]
fn an_ended_process_leaves_its_cgroup() {
    let machine = Machine::idle().unwrap();
    let pid = machine.spawn(&Process::new(0, "cron-job", "/system.slice/cron.service")).unwrap();
    machine.end(pid).unwrap();
    let procs = machine.path(&format!("{CGROUPS}/system.slice/cron.service/cgroup.procs"));
    assert_eq!(fs::read_to_string(procs).unwrap(), "410\n");
}

#[test]
fn what_is_written_to_a_terminal_is_on_its_screen() {
    use std::io::Write;
    let machine = Machine::idle().unwrap();
    let session = machine.log_in(1000).unwrap();
    let terminal = machine.path(&format!("dev/pts/{}", session.pts));
    fs::OpenOptions::new().write(true).open(terminal).unwrap().write_all(b"beware").unwrap();
    while !machine.on_screen(session.pts).unwrap().contains("beware") {
        thread::yield_now();
    }
    assert!(machine.on_screen(session.pts).unwrap().contains("beware"), "it stays there");
    assert_eq!(machine.on_screen(u32::MAX).unwrap(), "");
}
