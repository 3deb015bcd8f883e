//! Where a command prints, and how it looks there.

use std::cell::Cell;
use std::io::{self, IsTerminal, Write};

use jiff::tz::TimeZone;

use crate::cli::{Color, Options};
use crate::failure::Failure;
use crate::render::{Look, style::Style};

/// The terminal, or whatever stands in its place.
#[derive(Debug)]
pub(crate) struct Screen {
    /// How things look.
    pub(crate) look: Look,
    /// One JSON document instead of text.
    pub(crate) json: bool,
    reader_has_gone: Cell<bool>,
}

impl Screen {
    /// The screen of this process.
    pub(crate) fn new(options: &Options) -> Self {
        let style = if colourful(options.color, io::stdout().is_terminal(), &variable) {
            Style::Colour
        } else {
            Style::Plain
        };
        // The time zone is a file to read; nobody needs it for JSON.
        let zone = if options.utc || options.json { TimeZone::UTC } else { TimeZone::system() };
        Self { look: Look { style, zone }, json: options.json, reader_has_gone: Cell::new(false) }
    }

    /// Prints what was asked for. A reader that has gone is not an error of ours.
    pub(crate) fn print(&self, text: impl AsRef<[u8]>) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        match out.write_all(text.as_ref()).and_then(|()| out.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.reader_has_gone.set(true);
                Ok(())
            }
            Err(error) => Err(Failure::local(format!("cannot write to stdout: {error}"))),
            Ok(()) => Ok(()),
        }
    }

    /// Whether nobody reads what is printed any more, as behind `| head`.
    pub(crate) fn reader_has_gone(&self) -> bool {
        self.reader_has_gone.get()
    }

    /// Prints a document as it came, or the text.
    pub(crate) fn document(
        &self,
        document: &[u8],
        text: impl FnOnce() -> String,
    ) -> Result<(), Failure> {
        if self.json {
            let mut document = document.trim_ascii().to_owned();
            document.push(b'\n');
            self.print(document)
        } else {
            self.print(text())
        }
    }

    /// Says something beside the result.
    #[expect(clippy::unused_self, reason = "it belongs to the screen")]
    pub(crate) fn say(&self, text: &str) {
        // Nobody is left to whom a failure could be told.
        let _ = io::stderr().lock().write_all(text.as_bytes());
    }

    /// Tells a failure: for people on stderr, with `--json` also as the one document on stdout.
    pub(crate) fn fail(&self, failure: &Failure) {
        self.say(&format!("error: {}\n", failure.message));
        if let Some(hint) = &failure.hint {
            self.say(&format!("  hint: {hint}\n"));
        }
        if self.json
            && let Ok(mut document) = serde_json::to_vec(&failure.problem)
        {
            document.push(b'\n');
            let _ = self.print(document);
        }
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
}

/// Whether to colour (<https://no-color.org>, <https://bixense.com/clicolors>).
fn colourful(when: Color, terminal: bool, variable: &dyn Fn(&str) -> Option<String>) -> bool {
    let set = |name: &str| variable(name).is_some_and(|value| !value.is_empty());
    match when {
        Color::Always => true,
        Color::Never => false,
        Color::Auto if set("NO_COLOR") => false,
        Color::Auto
            if variable("CLICOLOR_FORCE")
                .is_some_and(|value| !value.is_empty() && value != "0") =>
        {
            true
        }
        Color::Auto => terminal && variable("TERM").is_some_and(|term| term != "dumb"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colour_follows_the_option_then_the_environment_then_the_terminal() {
        let none: &[(&str, &str)] = &[];
        for (when, terminal, environment, expected) in [
            (Color::Auto, true, &[("TERM", "xterm")][..], true),
            (Color::Auto, false, &[("TERM", "xterm")], false),
            (Color::Auto, true, &[("TERM", "dumb")], false),
            (Color::Auto, true, none, false),
            (Color::Auto, true, &[("TERM", "xterm"), ("NO_COLOR", "1")], false),
            (Color::Auto, true, &[("TERM", "xterm"), ("NO_COLOR", "")], true),
            (Color::Auto, false, &[("CLICOLOR_FORCE", "1")], true),
            (Color::Auto, false, &[("CLICOLOR_FORCE", "0")], false),
            (Color::Auto, false, &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")], false),
            (Color::Always, false, &[("NO_COLOR", "1")], true),
            (Color::Never, true, &[("TERM", "xterm"), ("CLICOLOR_FORCE", "1")], false),
        ] {
            let variable = |name: &str| {
                environment
                    .iter()
                    .find(|(key, _)| *key == name)
                    .map(|(_, value)| (*value).to_owned())
            };
            assert_eq!(
                colourful(when, terminal, &variable),
                expected,
                "{when:?} {terminal} {environment:?}"
            );
        }
    }
}
