//! The end of what a program said.

use std::collections::VecDeque;

use crate::actuators::text::escaped;

/// How much is kept, bytes.
const TAIL: usize = 2048;

/// Keeps the last [`TAIL`] bytes of everything that is pushed, however much that is.
#[derive(Debug, Default)]
pub(super) struct Tail {
    bytes: VecDeque<u8>,
    cut: bool,
}

impl Tail {
    /// Adds to the end.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend(bytes);
        let excess = self.bytes.len().saturating_sub(TAIL);
        self.cut |= excess > 0;
        self.bytes.drain(..excess);
    }

    /// The tail as lines, with every character that could steer a terminal written out.
    pub(super) fn text(&self) -> String {
        let bytes: Vec<u8> = self.bytes.iter().copied().collect();
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<String> =
            text.lines().map(|line| escaped(line, TAIL)).filter(|line| !line.is_empty()).collect();
        let joined = lines.join("\n");
        if self.cut { format!("…{joined}") } else { joined }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tail(pieces: &[&[u8]]) -> Tail {
        let mut tail = Tail::default();
        for piece in pieces {
            tail.push(piece);
        }
        tail
    }

    #[test]
    fn short_output_is_kept_whole() {
        assert_eq!(tail(&[b"saved ", b"3 files\n", b"\ndone\n"]).text(), "saved 3 files\ndone");
        assert_eq!(tail(&[]).text(), "");
    }

    #[test]
    fn only_the_end_of_long_output_is_kept() {
        let mut tail = Tail::default();
        for _ in 0..1_000 {
            tail.push(&[b'x'; 4096]);
        }
        tail.push(b"the end");
        assert_eq!(tail.bytes.len(), TAIL);
        assert!(tail.text().starts_with('…') && tail.text().ends_with("xthe end"));
    }

    #[test]
    fn nothing_in_it_steers_a_terminal() {
        let text = tail(&[b"\x1b[31mred\xff\r\n\x07"]).text();
        assert!(!text.replace('\n', "").contains(char::is_control), "{text:?}");
        assert!(text.contains("\\u{1b}[31mred"));
    }
}
