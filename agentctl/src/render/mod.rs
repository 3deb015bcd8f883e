//! Documents as text: 80 columns, understandable without colour, and nothing unknown ever looks idle.
//!
//! Everything here is a function from a document to a string, so that the tests compare whole screens.

pub(crate) mod amount;
mod counted;
pub(crate) mod doctor;
pub(crate) mod events;
pub(crate) mod headline;
mod people;
pub(crate) mod spot;
pub(crate) mod status;
pub(crate) mod style;
pub(crate) mod text;
pub(crate) mod times;
pub(crate) mod why;

#[cfg(test)]
mod properties;
#[cfg(test)]
pub(crate) mod samples;

use jiff::tz::TimeZone;

use style::Style;

/// How things look.
#[derive(Clone, Debug)]
pub(crate) struct Look {
    /// Colour or not.
    pub(crate) style: Style,
    /// The reader's time zone.
    pub(crate) zone: TimeZone,
}
