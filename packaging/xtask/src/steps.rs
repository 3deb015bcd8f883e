//! Steps: each has a name, needs others to have passed, and passes, fails or is skipped with a reason.

use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::workspace::Workspace;

/// Why a step did not pass.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Trouble {
    /// It ran and found a fault.
    #[error("{0}")]
    Failed(String),
    /// It could not run here.
    #[error("skipped: {0}")]
    Skipped(String),
}

/// What a step does. The text says what was done, for the summary; it may be empty.
pub(crate) type Run = fn(&Workspace) -> Result<String, Trouble>;

/// One step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    name: &'static str,
    needs: &'static [&'static str],
    run: Run,
}

impl Step {
    /// A step that runs only when the steps of these names passed.
    pub(crate) const fn new(name: &'static str, needs: &'static [&'static str], run: Run) -> Self {
        Self { name, needs, run }
    }
}

/// How a step ended.
#[derive(Clone, Debug)]
struct Ended {
    name: &'static str,
    took: Duration,
    ending: Result<String, Trouble>,
}

/// Runs all steps in order, whatever happens to one of them, and prints a summary. Failure if any failed.
pub(crate) fn run_all(steps: &[Step], workspace: &Workspace) -> ExitCode {
    let start = Instant::now();
    let mut done: Vec<Ended> = Vec::new();
    for (number, step) in steps.iter().enumerate() {
        if steps.len() > 1 {
            println!(
                "\n=== {}/{} {} [{}]",
                number + 1,
                steps.len(),
                step.name,
                clock(start.elapsed())
            );
        }
        let began = Instant::now();
        let ending = match missing(step, &done) {
            Some(needed) => Err(Trouble::Skipped(format!("'{needed}' did not pass"))),
            None => (step.run)(workspace),
        };
        if let Err(trouble) = &ending {
            eprintln!("{}: {trouble}", step.name);
        }
        done.push(Ended { name: step.name, took: began.elapsed(), ending });
    }
    println!("\n{}", summary(&done, start.elapsed()));
    if done.iter().any(|step| matches!(step.ending, Err(Trouble::Failed(_)))) {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

fn missing(step: &Step, done: &[Ended]) -> Option<&'static str> {
    step.needs
        .iter()
        .copied()
        .find(|&need| !done.iter().any(|other| other.name == need && other.ending.is_ok()))
}

/// One line a step, then the counts: `12 passed, 0 failed, 1 skipped`.
fn summary(done: &[Ended], took: Duration) -> String {
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    let mut text = String::new();
    for step in done {
        let (word, detail) = match &step.ending {
            Ok(detail) => {
                passed += 1;
                ("passed", detail)
            }
            Err(Trouble::Failed(why)) => {
                failed += 1;
                ("FAILED", why)
            }
            Err(Trouble::Skipped(why)) => {
                skipped += 1;
                ("SKIPPED", why)
            }
        };
        let line = detail.lines().next().unwrap_or_default();
        let row = format!("{:<14} {word:<8} {:>6}  {line}", step.name, clock(step.took));
        let _ = writeln!(text, "{}", row.trim_end());
    }
    let _ = write!(text, "in {}\n{passed} passed, {failed} failed, {skipped} skipped", clock(took));
    text
}

/// Minutes and seconds: `3:07`.
fn clock(span: Duration) -> String {
    format!("{}:{:02}", span.as_secs() / 60, span.as_secs() % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workspace() -> Workspace {
        Workspace { root: "/".into(), target: "/".into() }
    }

    #[expect(clippy::unnecessary_wraps, reason = "it has the type of a step")]
    fn fine(_: &Workspace) -> Result<String, Trouble> {
        Ok("all well".to_owned())
    }

    fn broken(_: &Workspace) -> Result<String, Trouble> {
        Err(Trouble::Failed("it broke\nwith a long story".to_owned()))
    }

    fn absent(_: &Workspace) -> Result<String, Trouble> {
        Err(Trouble::Skipped("no root".to_owned()))
    }

    fn never(_: &Workspace) -> Result<String, Trouble> {
        panic!("a step ran although what it needs did not pass")
    }

    fn debug(code: ExitCode) -> String {
        format!("{code:?}")
    }

    #[test]
    fn a_skipped_step_is_no_failure() {
        let steps = [Step::new("one", &[], fine), Step::new("two", &[], absent)];
        assert_eq!(debug(run_all(&steps, &workspace())), debug(ExitCode::SUCCESS));
    }

    #[test]
    fn a_failed_step_fails_the_whole_and_the_others_still_run() {
        let steps = [Step::new("one", &[], broken), Step::new("two", &[], fine)];
        assert_eq!(debug(run_all(&steps, &workspace())), debug(ExitCode::FAILURE));
    }

    #[test]
    fn a_step_does_not_run_when_what_it_needs_failed_or_was_skipped_or_never_ran() {
        for need in [broken as Run, absent] {
            run_all(
                &[Step::new("need", &[], need), Step::new("then", &["need"], never)],
                &workspace(),
            );
        }
        run_all(&[Step::new("then", &["unknown"], never)], &workspace());
    }

    #[test]
    fn the_summary_names_each_step_and_ends_with_the_counts() {
        let ended = |name, ending| Ended { name, took: Duration::from_secs(67), ending };
        let done = [
            ended("lint", fine(&workspace())),
            ended("deb", broken(&workspace())),
            ended("e2e", absent(&workspace())),
        ];
        let expected = "\
lint           passed     1:07  all well
deb            FAILED     1:07  it broke
e2e            SKIPPED    1:07  no root
in 2:05
1 passed, 1 failed, 1 skipped";
        assert_eq!(summary(&done, Duration::from_secs(125)), expected);
    }
}
