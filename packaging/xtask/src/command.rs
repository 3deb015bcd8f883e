//! Runs other programs, shows what is run, and turns an exit status into a step's ending.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::steps::Trouble;

/// The most failed tests that are named.
const FAILED: usize = 8;

/// A program to run, in the repository's root unless told otherwise.
#[derive(Debug)]
pub(crate) struct Tool {
    line: String,
    command: Command,
}

impl Tool {
    /// A program with its arguments, which are separated by blanks.
    pub(crate) fn new(folder: &Path, line: &str) -> Self {
        let mut words = line.split_whitespace();
        let mut command = Command::new(words.next().unwrap_or_default());
        command.args(words).current_dir(folder);
        Self { line: line.to_owned(), command }
    }

    /// One more argument, which may contain blanks.
    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        let arg = arg.as_ref();
        self.line = format!("{} {}", self.line, arg.to_string_lossy());
        self.command.arg(arg);
        self
    }

    /// A variable of its environment.
    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.line = format!("{name}={} {}", value.as_ref().to_string_lossy(), self.line);
        self.command.env(name, value);
        self
    }

    /// Runs it with its output shown.
    pub(crate) fn run(mut self) -> Result<(), Trouble> {
        println!("$ {}", self.line);
        let status =
            self.command.stdin(Stdio::null()).status().map_err(|error| self.unstartable(&error))?;
        if status.success() {
            Ok(())
        } else {
            Err(Trouble::Failed(format!("{} ({status})", self.line)))
        }
    }

    /// Runs it with its output shown and gives the exit code: `None` when a signal ended it.
    pub(crate) fn code(mut self) -> Result<Option<i32>, Trouble> {
        println!("$ {}", self.line);
        let status =
            self.command.stdin(Stdio::null()).status().map_err(|error| self.unstartable(&error))?;
        Ok(status.code())
    }

    /// Runs it, not shown, and gives what it wrote to its output.
    pub(crate) fn output(mut self) -> Result<String, Trouble> {
        let output =
            self.command.stdin(Stdio::null()).output().map_err(|error| self.unstartable(&error))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let stderr = String::from_utf8_lossy(&output.stderr);
        Err(Trouble::Failed(format!("{} ({}): {}", self.line, output.status, stderr.trim())))
    }

    /// Runs it with its output shown and given, standard error included where `both` says so.
    pub(crate) fn tee(mut self) -> Result<String, Trouble> {
        println!("$ {}", self.line);
        self.command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = self.command.spawn().map_err(|error| self.unstartable(&error))?;
        let mut text = String::new();
        if let Some(stdout) = child.stdout.take() {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                println!("{line}");
                text.push_str(&line);
                text.push('\n');
            }
        }
        let _ = std::io::stdout().flush();
        let status = child.wait().map_err(|error| self.unstartable(&error))?;
        if status.success() {
            return Ok(text);
        }
        let mut failed = failed(&text).join(", ");
        if !failed.is_empty() {
            failed.push_str(": ");
        }
        Err(Trouble::Failed(format!("{failed}{} ({status})", self.line)))
    }

    /// Runs `cargo test` and says how many tests there were.
    pub(crate) fn tests(self) -> Result<String, Trouble> {
        Ok(Tally::of(&self.tee()?).to_string())
    }

    fn unstartable(&self, error: &std::io::Error) -> Trouble {
        Trouble::Failed(format!("{}: {error}", self.line))
    }
}

/// The tests that failed, by the lines `test NAME ... FAILED` of `cargo test` and `cell NAME … FAILED` of the cells.
fn failed(text: &str) -> Vec<&str> {
    let names = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let of_one = words.next().is_some_and(|word| word == "test" || word == "cell");
        let name = words.next().filter(|_| of_one)?;
        words.any(|word| word.trim_end_matches(':') == "FAILED").then_some(name)
    });
    names.filter(|name| *name != "result:").take(FAILED).collect()
}

/// Whether a program of this name is on the path.
pub(crate) fn exists(program: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(program).is_file()))
}

/// The sums over the lines `test result: ok. 12 passed; 0 failed; 1 ignored; …` of `cargo test`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    passed: u64,
    ignored: u64,
}

impl Tally {
    /// Adds them up.
    pub(crate) fn of(text: &str) -> Self {
        let mut tally = Self::default();
        for line in text.lines().filter(|line| line.starts_with("test result:")) {
            let words: Vec<&str> = line.split_whitespace().collect();
            for pair in words.windows(2) {
                let [number, what] = pair else { continue };
                let Ok(number) = number.parse::<u64>() else { continue };
                match what.trim_end_matches(';') {
                    "passed" => tally.passed += number,
                    "ignored" => tally.ignored += number,
                    _ => {}
                }
            }
        }
        tally
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} tests", self.passed)?;
        if self.ignored > 0 {
            write!(f, ", {} ignored", self.ignored)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn here(line: &str) -> Tool {
        Tool::new(Path::new("/"), line)
    }

    #[test]
    fn a_failing_program_is_a_failure_that_names_it() {
        let failed = here("false").run().unwrap_err();
        assert_eq!(failed, Trouble::Failed("false (exit status: 1)".to_owned()));
    }

    #[test]
    fn a_missing_program_is_a_failure_and_no_panic() {
        let failed = here("no-such-program --flag").run().unwrap_err().to_string();
        assert!(failed.starts_with("no-such-program --flag: No such file"), "{failed}");
    }

    #[test]
    fn arguments_with_blanks_stay_whole() {
        let text = here("printf [%s]").arg("two words").env("X", "1").output().unwrap();
        assert_eq!(text, "[two words]");
    }

    #[test]
    fn the_exit_code_is_given_as_it_is() {
        assert_eq!(here("sh -c").arg("exit 77").code().unwrap(), Some(77));
    }

    #[test]
    fn shown_output_is_also_given() {
        assert_eq!(here("printf").arg("a\nb\n").tee().unwrap(), "a\nb\n");
        assert!(here("sh -c").arg("echo x; exit 3").tee().is_err());
    }

    #[test]
    fn tests_that_failed_are_named() {
        let text = "test result: FAILED. 1 passed; 1 failed\ntest a::b ... FAILED\ntest a::c ... ok\n\
                    cell bus  keep  FAILED   stopped at 40.7 s\ncell car  stop  FAILED: it comes out right now\n\
                    cell tram  stop  not yet: it is slow\n";
        assert_eq!(failed(text), ["a::b", "bus", "car"]);
        let fails = here("sh -c").arg("echo test a::b ... FAILED; exit 3").tee().unwrap_err();
        assert_eq!(
            fails,
            Trouble::Failed(
                "a::b: sh -c echo test a::b ... FAILED; exit 3 (exit status: 3)".to_owned()
            )
        );
        let silent = here("sh -c").arg("exit 3").tee().unwrap_err();
        assert_eq!(silent, Trouble::Failed("sh -c exit 3 (exit status: 3)".to_owned()));
    }

    #[test]
    fn the_tests_of_all_programs_are_added_up() {
        let text = "running 2 tests\ntest result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out\n\
                    test result: ok. 40 passed; 0 failed; 3 ignored; 0 measured\nnot a test result: ok. 7 passed\n";
        assert_eq!(Tally::of(text), Tally { passed: 42, ignored: 3 });
        assert_eq!(Tally::of(text).to_string(), "42 tests, 3 ignored");
    }

    #[test]
    fn programs_are_looked_for_on_the_path() {
        assert!(exists("sh"));
        assert!(!exists("no-such-program"));
    }
}
