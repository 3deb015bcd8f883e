//! Hooks as programs: what they are told, how they end, and which are never run.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use agent_core::action::Retry;

use super::*;

/// A folder that is as safe as the guard wants it, below the home of whoever runs the test: the usual temporary folder
/// can be written by everybody, which the guard refuses.
pub(in crate::actuators) fn safe_folder() -> tempfile::TempDir {
    let home = std::env::var_os("HOME").map_or_else(|| PathBuf::from("/root"), PathBuf::from);
    let home = fs::canonicalize(home).unwrap();
    let folder = tempfile::Builder::new().prefix(".agentd-hook-").tempdir_in(home).unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

pub(in crate::actuators) fn script(folder: &Path, body: &str) -> PathBuf {
    let path = folder.join("hook");
    fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

fn hook(command: &Path, timeout: Duration) -> Hook {
    let command = command.to_str().unwrap().to_owned();
    let mut hook = Hook::new(HookSettings { command, timeout, user: None }, BusMode::None);
    hook.kill_after = Duration::from_millis(200);
    hook
}

async fn run(hook: &Hook) -> Outcome {
    hook.run(Stamp::new(0, 0, 1_795_262_400_000), Power::Hibernate).await
}

/// The outcome of a script with ten seconds.
async fn outcome(body: &str) -> Outcome {
    let folder = safe_folder();
    run(&hook(&script(folder.path(), body), Duration::from_secs(10))).await
}

fn done(outcome: Outcome) -> String {
    let Outcome::Done { detail } = outcome else { panic!("not done: {outcome:?}") };
    detail
}

fn failed(outcome: Outcome) -> String {
    let Outcome::Failed { error, retry: Retry::Never } = outcome else {
        panic!("not failed: {outcome:?}")
    };
    error
}

fn unsafe_detail(outcome: Outcome) -> String {
    let Outcome::Refused(refusal) = outcome else { panic!("not refused: {outcome:?}") };
    assert_eq!(refusal.code, "hook-unsafe");
    refusal.detail
}

#[tokio::test]
async fn a_hook_that_ends_well_is_done_with_its_last_words() {
    assert_eq!(done(outcome("echo saved; echo warning >&2").await).lines().count(), 3);
    assert_eq!(done(outcome("exit 0").await), "exit status 0");
}

#[tokio::test]
async fn it_knows_what_it_is_for_and_nothing_else() {
    let environment = done(outcome("env").await);
    let mut lines: Vec<&str> =
        environment.strip_prefix("exit status 0\n").unwrap().lines().collect();
    lines.retain(|line| !["PWD=/", "_=/usr/bin/env", "SHLVL=0", "SHLVL=1"].contains(line));
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            "AGENTD_ACTION=hibernate",
            "AGENTD_DEADLINE=2026-11-21T12:00:10Z",
            "AGENTD_EVENT=idle",
            "AGENTD_SECONDS_LEFT=10",
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        ]
    );
}

#[tokio::test]
async fn it_has_no_arguments_no_input_and_the_root_folder() {
    assert_eq!(done(outcome("echo $#; cat; pwd").await), "exit status 0\n0\n/");
}

#[tokio::test]
async fn a_hook_that_fails_is_told_with_status_and_last_words() {
    let error = failed(outcome("echo disk full >&2; exit 3").await);
    assert!(error.contains("exit status: 3") && error.contains("disk full"), "{error}");
    let error = failed(outcome("kill -9 $$").await);
    assert!(error.contains("signal: 9"), "{error}");
}

#[tokio::test]
async fn only_the_end_of_much_output_is_kept() {
    let detail = done(outcome("head -c 3000000 /dev/zero | tr '\\0' x; echo; echo the end").await);
    assert!(detail.len() < 2_200 && detail.ends_with("the end"), "{}", detail.len());
}

#[tokio::test]
async fn output_cannot_steer_a_terminal() {
    let detail = done(outcome("printf '\\033[2J\\007ok'").await);
    assert_eq!(detail, "exit status 0\n\\u{1b}[2J\\u{7}ok");
}

#[tokio::test]
async fn at_the_deadline_it_is_told_to_end() {
    let folder = safe_folder();
    let path =
        script(folder.path(), "trap 'echo saving; exit 0' TERM; echo begun; sleep 60 & wait");
    let error = failed(run(&hook(&path, Duration::from_millis(300))).await);
    assert!(error.contains("within 0.3 s"), "{error}");
    assert!(
        error.contains("begun") && error.contains("saving"),
        "what it says at its end is kept: {error}"
    );
}

#[tokio::test]
async fn one_that_does_not_listen_is_killed_with_its_children() {
    let folder = safe_folder();
    let pid_file = folder.path().join("pid");
    let body = format!(
        "trap '' TERM; sh -c 'trap \"\" TERM; echo $$ > {}; sleep 60; sleep 60' & wait; sleep 60",
        pid_file.display()
    );
    let begun = std::time::Instant::now();
    failed(run(&hook(&script(folder.path(), &body), Duration::from_millis(300))).await);
    assert!(begun.elapsed() < Duration::from_secs(5));
    let pid: i32 = fs::read_to_string(&pid_file).unwrap().trim().parse().unwrap();
    let gone = || match fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => stat.contains(") Z "),
        Err(_) => true,
    };
    for _ in 0..200 {
        if gone() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the child lives on");
}

#[tokio::test]
async fn what_it_leaves_running_does_not_hold_up_the_agent() {
    let begun = std::time::Instant::now();
    done(outcome("sleep 5 & echo on my way").await);
    assert!(begun.elapsed() < Duration::from_secs(3));
}

#[tokio::test]
async fn a_program_that_cannot_be_executed_is_a_failure() {
    let folder = safe_folder();
    let path = folder.path().join("hook");
    fs::write(&path, "#!/no/such/interpreter\n").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    assert!(failed(run(&hook(&path, Duration::from_secs(1))).await).contains("start the hook"));
}

#[tokio::test]
async fn a_user_that_does_not_exist_is_a_failure() {
    let folder = safe_folder();
    let mut hook = hook(&script(folder.path(), "id -u"), Duration::from_secs(5));
    hook.settings.user = Some("no-such-user-here".to_owned());
    assert!(failed(run(&hook).await).contains("no such user"));
}

#[tokio::test]
async fn as_root_it_runs_as_the_user_that_is_configured() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("not run: only root can change the user");
        return;
    }
    // Where everybody may go, unlike root's home.
    let folder = tempfile::Builder::new().prefix(".agentd-hook-").tempdir_in("/var/lib").unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let mut hook = hook(&script(folder.path(), "id -u; id -G"), Duration::from_secs(5));
    hook.settings.user = Some("nobody".to_owned());
    assert_eq!(done(run(&hook).await), "exit status 0\n65534\n65534");
}

#[tokio::test]
async fn nothing_that_others_can_change_is_run() {
    let folder = safe_folder();
    let path = script(folder.path(), "exit 0");
    let ten = Duration::from_secs(10);
    assert_eq!(done(run(&hook(&path, ten)).await), "exit status 0");

    for mode in [0o775, 0o757, 0o777] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        assert!(unsafe_detail(run(&hook(&path, ten)).await).contains("written"), "{mode:o}");
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(unsafe_detail(run(&hook(&path, ten)).await).contains("chmod"));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();

    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let detail = unsafe_detail(run(&hook(&path, ten)).await);
    assert!(detail.contains(&format!("'{}' can be written", folder.path().display())), "{detail}");
}

#[tokio::test]
async fn links_folders_relative_and_missing_paths_are_refused() {
    let folder = safe_folder();
    let path = script(folder.path(), "exit 0");
    let link = folder.path().join("link");
    symlink(&path, &link).unwrap();
    let limit = Duration::from_secs(1);
    assert!(unsafe_detail(run(&hook(&link, limit)).await).contains("symbolic link"));
    assert!(
        unsafe_detail(run(&hook(folder.path(), limit)).await).contains("not an executable file")
    );
    assert!(
        unsafe_detail(run(&hook(&folder.path().join("none"), limit)).await)
            .contains("cannot be read")
    );
    assert!(guard::inspect(Path::new("hook")).is_err());
}

#[tokio::test]
async fn a_program_in_the_temporary_folder_is_refused() {
    let folder = tempfile::tempdir_in("/var/tmp").unwrap();
    let path = script(folder.path(), "exit 0");
    assert!(unsafe_detail(run(&hook(&path, Duration::from_secs(1))).await).contains("'/var/tmp'"));
}

#[test]
fn a_program_of_somebody_else_is_refused() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("not run: only root can give a file away");
        return;
    }
    let folder = safe_folder();
    let path = script(folder.path(), "exit 0");
    nix::unistd::chown(&path, Some(nix::unistd::Uid::from_raw(65_534)), None).unwrap();
    assert!(guard::inspect(&path).unwrap_err().contains("belongs to uid 65534"));
}
