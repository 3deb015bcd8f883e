//! Runs cases in cells side by side, as many as the processors of the machine bear, and says what came out.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::case::Case;
use crate::parts::PART;
use crate::seen::Seen;

/// The most cells at once: each has an agent of its own, and their memory is not small.
const CELLS: usize = 40;
/// What part of the machine's processors the loads of all cells may use.
const SHARE: f64 = 0.95;
/// How much longer than its watch a cell may take to be made and to end.
const SPARE: Duration = Duration::from_secs(90);

/// A case that does not come out right yet, and why.
pub type NotYet = (&'static str, &'static str);

/// How a case ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    Right,
    Wrong,
    NotYet,
    RightAtLast,
}

/// Runs the cases whose names contain one of `filters` (all, if there are none). False: at least one came out wrong.
pub fn run(cases: &[Case], not_yet: &[NotYet], filters: &[String]) -> io::Result<bool> {
    let mut chosen: Vec<&Case> = cases
        .iter()
        .filter(|case| filters.is_empty() || filters.iter().any(|part| case.name.contains(part)))
        .collect();
    say(&format!("\nrunning {} cells", chosen.len()))?;
    if let Some(why) = missing() {
        say(&format!("skipped: {why}"))?;
        say(&result(true, &[0, 0, chosen.len()]))?;
        return Ok(true);
    }
    // The longest first, then the heaviest, since light ones fit beside them.
    chosen.sort_by(|a, b| {
        let long = |case: &Case| case.right.watch() > Duration::from_secs(100);
        long(b).cmp(&long(a)).then(b.cores.total_cmp(&a.cores))
    });
    let known: BTreeMap<&str, &str> = not_yet.iter().copied().collect();
    let mut counts = [0_usize; 3];
    let mut stories = String::new();
    side_by_side(chosen, |case, seen| {
        let (ended, line) = judge(case, seen, known.get(case.name).copied());
        let slot = match ended {
            Ended::Right => 0,
            Ended::Wrong | Ended::RightAtLast => 1,
            Ended::NotYet => 2,
        };
        if let Some(count) = counts.get_mut(slot) {
            *count += 1;
        }
        if ended == Ended::Wrong || env::var_os("CELL_STORIES").is_some() {
            let story = seen.map_or_else(ToString::to_string, Seen::story);
            stories.extend(["\n==== ", case.name, "\n", &story, "\n"]);
        }
        say(&line)
    })?;
    if !stories.is_empty() {
        say(&stories)?;
    }
    let passed = counts[1] == 0;
    say(&result(passed, &counts))?;
    Ok(passed)
}

/// Names the cases, as `cargo test -- --list` does.
pub fn list(cases: &[Case]) -> io::Result<()> {
    cases.iter().try_for_each(|case| say(&format!("{}: test", case.name)))
}

/// The line that `cargo test` ends a target with; what does not come out right yet is among the ignored.
fn result(passed: bool, [right, wrong, ignored]: &[usize; 3]) -> String {
    let word = if passed { "ok" } else { "FAILED" };
    format!(
        "\ntest result: {word}. {right} passed; {wrong} failed; {ignored} ignored; 0 measured\n"
    )
}

fn say(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

fn judge(case: &Case, seen: Result<&Seen, &io::Error>, known: Option<&str>) -> (Ended, String) {
    let right = seen.is_ok_and(|seen| seen.is(case.right));
    // A cell that could not be made is not known to be wrong: it is broken.
    let (ended, word) = match (right, known.filter(|_| seen.is_ok())) {
        (true, None) => (Ended::Right, "ok".to_owned()),
        (false, None) => (Ended::Wrong, "FAILED".to_owned()),
        (false, Some(why)) => (Ended::NotYet, format!("not yet: {why}")),
        (true, Some(_)) => {
            (Ended::RightAtLast, "FAILED: it comes out right now, take it off the list".to_owned())
        }
    };
    let got = seen.map_or_else(ToString::to_string, Seen::summary);
    (ended, format!("cell {:<46} {:<18} {word:<8} {got}", case.name, case.right.word()))
}

/// What is missing for cells on this machine.
fn missing() -> Option<String> {
    if !nix::unistd::geteuid().is_root() {
        return Some("cells need root".into());
    }
    let Some(groups) = hierarchy() else {
        return Some("there are no control groups of version 2".into());
    };
    for program in ["unshare", "ip", "setpriv", "mount", "pivot_root"] {
        let found = env::var_os("PATH")
            .is_some_and(|path| env::split_paths(&path).any(|dir| dir.join(program).is_file()));
        if !found {
            return Some(format!("there is no program '{program}'"));
        }
    }
    let trial = groups.join(format!("agentd-trial-{}", std::process::id()));
    if let Err(why) = fs::create_dir(&trial) {
        return Some(format!("no control group can be made: {why}"));
    }
    let _ = fs::remove_dir(&trial);
    let script = "set -e; mount -t tmpfs none \"$1\"; cd \"$1\"; mkdir u w r; \
                  mount -t overlay none -o lowerdir=/,upperdir=u,workdir=w r; \
                  mount -t proc proc r/proc; mount -t sysfs sysfs r/sys; \
                  mount -t cgroup2 none r/sys/fs/cgroup; ip link add trial0 type veth peer name trial1";
    let folder = env::temp_dir().join(format!("agentd-trial-{}", std::process::id()));
    fs::create_dir_all(&folder).ok()?;
    let tried = Command::new("unshare")
        .args(["--mount", "--pid", "--net", "--cgroup", "--uts", "--ipc", "--fork", "/bin/sh"])
        .args(["-c", script, "trial"])
        .arg(&folder)
        .output();
    let _ = fs::remove_dir(&folder);
    match tried {
        Ok(output) if output.status.success() => None,
        Ok(output) => {
            let why = String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ");
            Some(format!("no machine of namespaces can be made: {why}"))
        }
        Err(why) => Some(format!("no machine of namespaces can be made: {why}")),
    }
}

/// Where the control groups of version 2 are.
fn hierarchy() -> Option<PathBuf> {
    ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"]
        .iter()
        .map(Path::new)
        .find(|base| base.join("cgroup.controllers").is_file())
        .map(Path::to_owned)
}

/// Runs every case in a cell, and gives each result as it comes. A cell that could not be made, or whose load did not get its time
/// beside the others, has said nothing of the agent: it is made once more.
fn side_by_side(
    cases: Vec<&Case>,
    mut ended: impl FnMut(&Case, Result<&Seen, &io::Error>) -> io::Result<()>,
) -> io::Result<()> {
    let processors = thread::available_parallelism().map_or(1, usize::from);
    let room = SHARE * f64::from(u32::try_from(processors).unwrap_or(u32::MAX));
    let mut waiting: Vec<(&Case, bool)> = cases.into_iter().map(|case| (case, false)).collect();
    let mut used = 0.0_f64;
    let mut running = 0;
    let (send, receive) = mpsc::channel();
    thread::scope(|scope| {
        while running > 0 || !waiting.is_empty() {
            let next = waiting.iter().position(|(case, _)| {
                running == 0 || (running < CELLS && used + case.cores <= room)
            });
            if let Some(next) = next {
                let (case, again) = waiting.remove(next);
                used += case.cores;
                running += 1;
                let send = send.clone();
                scope.spawn(move || send.send((case, again, in_cell(case))));
                continue;
            }
            let (case, again, seen) = receive.recv().map_err(io::Error::other)?;
            used -= case.cores;
            running -= 1;
            match seen {
                Err(why) if !again => {
                    say(&format!("cell {} once more: {why}", case.name))?;
                    waiting.push((case, true));
                }
                seen => ended(case, seen.as_ref())?,
            }
        }
        Ok(())
    })
}

/// One case in a cell of its own, from its making to its end.
fn in_cell(case: &Case) -> io::Result<Seen> {
    let name = format!("agentd-{}-{}", std::process::id(), case.name);
    let group = hierarchy().ok_or_else(|| io::Error::other("no control groups"))?.join(&name);
    let scratch = env::temp_dir().join(&name);
    fs::create_dir_all(&group)?;
    fs::create_dir_all(&scratch)?;
    let seen = watch(case, &group, &scratch);
    let _ = fs::remove_dir(&scratch);
    remove_groups(&group);
    seen
}

fn watch(case: &Case, group: &Path, scratch: &Path) -> io::Result<Seen> {
    // Loads must get what they are to use, whatever else the machine does. Where that is not allowed, nice(1) says so and
    // goes on.
    let mut command = Command::new("nice");
    command.args(["-n", "-15", "setpriv", "--pdeathsig", "KILL", "--"]);
    command.args(["unshare", "--net", "--kill-child"]);
    command.arg("--fork").arg(env::current_exe()?);
    command.env(PART, format!("outside {}", case.name));
    command.env("CELL_SCRATCH", scratch).env("CELL_GROUP", group);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    let (out, errors) = (collect(child.stdout.take()), collect(child.stderr.take()));
    let start = Instant::now();
    while child.try_wait()?.is_none() {
        if start.elapsed() > case.right.watch() + SPARE {
            child.kill()?;
            child.wait()?;
            return Err(io::Error::other("the cell did not end"));
        }
        thread::sleep(Duration::from_millis(100));
    }
    let text = out.join().unwrap_or_default();
    let seen = text.lines().last().and_then(|line| serde_json::from_str::<Value>(line).ok());
    let seen = seen.as_ref().and_then(Seen::from_json);
    seen.ok_or_else(|| {
        let errors = errors.join().unwrap_or_default();
        io::Error::other(format!("the cell told nothing: {text}{errors}"))
    })
}

fn collect(pipe: Option<impl io::Read + Send + 'static>) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut text = Vec::new();
        if let Some(mut pipe) = pipe {
            let _ = pipe.read_to_end(&mut text);
        }
        String::from_utf8_lossy(&text).into_owned()
    })
}

/// Removes a group with all below it, once their last processes are gone.
fn remove_groups(group: &Path) {
    for child in fs::read_dir(group).into_iter().flatten().flatten() {
        if child.path().is_dir() {
            remove_groups(&child.path());
        }
    }
    for _ in 0..50 {
        if fs::remove_dir(group).is_ok() || !group.exists() {
            return;
        }
        thread::sleep(Duration::from_millis(20));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::Right;

    fn seen(stopped_at: Option<f64>) -> Seen {
        Seen { stopped_at, watched: 60.0, ..Seen::default() }
    }

    #[test]
    fn a_case_that_is_known_to_be_wrong_must_be_wrong() {
        let case = Case::new("x", Right::Keep, 0.0, |_| Ok(()));
        let verdict = |at, known| judge(&case, Ok(&seen(at)), known).0;
        assert_eq!(verdict(None, None), Ended::Right);
        assert_eq!(verdict(Some(40.8), None), Ended::Wrong);
        assert_eq!(verdict(Some(40.8), Some("why")), Ended::NotYet);
        assert_eq!(verdict(None, Some("why")), Ended::RightAtLast);
    }

    #[test]
    fn a_cell_that_told_nothing_is_never_right() {
        let case = Case::new("x", Right::Keep, 0.0, |_| Ok(()));
        let error = io::Error::other("it fell over");
        let (ended, line) = judge(&case, Err(&error), None);
        assert_eq!(ended, Ended::Wrong);
        assert!(line.contains("it fell over"), "{line}");
    }
}
