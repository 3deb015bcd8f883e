//! The form of a line: `{"crc32":"89abcdef","entry":{…}}`. The checksum is of the bytes of the entry, so that it can
//! be checked without knowing their meaning; the line is JSON all the same.

use super::Entry;

/// The longest line, newline included. The longest texts in an entry are the tails of hooks' output.
pub const MOST_LINE: usize = 256 * 1024;

const BEFORE_CRC: &str = r#"{"crc32":""#;
const BEFORE_ENTRY: &str = r#"","entry":"#;
const AFTER_ENTRY: &str = "}";

/// The line of an entry's JSON, with its newline.
pub(super) fn framed(json: &str) -> String {
    let crc = crc32fast::hash(json.as_bytes());
    format!("{BEFORE_CRC}{crc:08x}{BEFORE_ENTRY}{json}{AFTER_ENTRY}\n")
}

/// Whether a line is of this form at all.
pub(super) fn is_framed(line: &[u8]) -> bool {
    line.starts_with(BEFORE_CRC.as_bytes())
}

/// The entry of a line without its newline, if it is whole.
pub(super) fn read(line: &[u8]) -> Option<Entry> {
    serde_json::from_str(payload(line)?).ok()
}

/// The JSON in a line without its newline, if its checksum is right.
pub(super) fn payload(line: &[u8]) -> Option<&str> {
    let line = core::str::from_utf8(line).ok()?;
    let rest = line.strip_prefix(BEFORE_CRC)?;
    let (crc, rest) = rest.split_at_checked(8)?;
    let json = rest.strip_prefix(BEFORE_ENTRY)?.strip_suffix(AFTER_ENTRY)?;
    // Compared as text: a flipped bit must not turn `a` into an `A` that means the same.
    if format!("{:08x}", crc32fast::hash(json.as_bytes())) != crc {
        return None;
    }
    Some(json)
}

/// Bytes up to and with the newline of the last line whose checksum is right.
pub(super) fn last_good(bytes: &[u8]) -> usize {
    let (mut good, mut at) = (0_usize, 0_usize);
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        at = at.saturating_add(line.len());
        if line.strip_suffix(b"\n").and_then(payload).is_some() {
            good = at;
        }
    }
    good
}

/// What a file holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Scan {
    /// Bytes up to and with the newline of the last good line.
    pub(super) good: usize,
    /// The highest number of a good line.
    pub(super) last_seq: Option<u64>,
}

/// Looks at every line of a file.
pub(super) fn scan(bytes: &[u8]) -> Scan {
    let mut scan = Scan::default();
    let mut at = 0_usize;
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        at = at.saturating_add(line.len());
        if let Some(entry) = line.strip_suffix(b"\n").and_then(read) {
            scan = Scan { good: at, last_seq: scan.last_seq.max(Some(entry.seq)) };
        }
    }
    scan
}
