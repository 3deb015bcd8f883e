//! Sizes as people write them: a whole number and a unit, `512KiB`, `16MiB`, `1GiB`.

/// The units with their bytes, the largest first.
const UNITS: &[(&str, u64)] = &[("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// Why a text is not a size. The texts fit after the text itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum SizeError {
    /// No number, or more than a number and a unit.
    #[error("is no size; write it like \"512KiB\" or \"16MiB\"")]
    Form,
    /// Another unit.
    #[error("has the unknown unit \"{0}\"; the units are B, KiB, MiB and GiB")]
    Unit(String),
    /// More than 64 bits of bytes.
    #[error("is too large to count")]
    TooLarge,
}

/// Reads a size in bytes.
pub(super) fn parse(text: &str) -> Result<u64, SizeError> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(end).unwrap_or((text, ""));
    let unit = unit.trim_start();
    if number.is_empty() || unit.is_empty() {
        return Err(SizeError::Form);
    }
    let number = number.parse::<u64>().map_err(|_| SizeError::TooLarge)?;
    let (_, bytes) = UNITS
        .iter()
        .find(|(name, _)| *name == unit)
        .ok_or_else(|| SizeError::Unit(unit.chars().take(20).collect()))?;
    number.checked_mul(*bytes).ok_or(SizeError::TooLarge)
}

/// The shortest exact writing.
pub(super) fn format(bytes: u64) -> String {
    let fits = |(_, unit): &&(&str, u64)| bytes >= *unit && bytes.is_multiple_of(*unit);
    let (name, unit) = UNITS.iter().find(fits).copied().unwrap_or(("B", 1));
    format!("{}{name}", bytes / unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_printed() {
        for (text, bytes, printed) in [
            ("16MiB", 16 << 20, "16MiB"),
            (" 512 KiB ", 512 << 10, "512KiB"),
            ("1024MiB", 1 << 30, "1GiB"),
            ("1000B", 1000, "1000B"),
            ("0B", 0, "0B"),
        ] {
            assert_eq!(parse(text), Ok(bytes), "{text}");
            assert_eq!(format(bytes), printed);
            assert_eq!(parse(printed), Ok(bytes));
        }
    }

    #[test]
    fn what_is_no_size_is_refused_with_its_reason() {
        for (text, because) in [
            ("", "is no size"),
            ("16", "is no size"),
            ("MiB", "is no size"),
            ("-1MiB", "is no size"),
            ("16MB", "has the unknown unit \"MB\""),
            ("1.5MiB", "has the unknown unit \".5MiB\""),
            ("99999999999GiB", "is too large"),
            ("99999999999999999999B", "is too large"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.starts_with(because), "{text}: {error}");
        }
    }
}
