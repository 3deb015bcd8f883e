//! Colour, which only ever repeats what the words say.

/// Whether there is colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// None.
    Plain,
    /// ANSI escape sequences (ECMA-48 §8.3.117, SGR).
    Colour,
}

/// What a piece of text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ink {
    /// The one line to read.
    Bold,
    /// Something is wrong or unknown.
    Alarm,
    /// Something needs attention.
    Notice,
    /// All is well.
    Good,
    /// Less important.
    Faint,
}

impl Style {
    /// The text in this ink.
    pub(crate) fn paint(self, ink: Ink, text: &str) -> String {
        let code = match ink {
            Ink::Bold => "1",
            Ink::Alarm => "1;31",
            Ink::Notice => "33",
            Ink::Good => "32",
            Ink::Faint => "2",
        };
        match self {
            Self::Plain => text.to_owned(),
            Self::Colour => format!("\x1b[{code}m{text}\x1b[0m"),
        }
    }
}
