//! Text of others (names, reasons, output of programs) made fit for a line that an administrator reads.

/// A text that can be shown on one line: control characters and invisible direction marks escaped, cut after `most`
/// characters as shown.
pub fn printable(text: &str, most: usize) -> String {
    let mut shown = String::new();
    let mut room = most;
    for c in text.chars() {
        let escaped = c.is_control() || is_invisible(c);
        let width = if escaped { c.escape_default().len() } else { 1 };
        if width > room {
            shown.push('…');
            break;
        }
        room -= width;
        if escaped {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// Characters that change how their neighbours are shown ("Trojan Source", CVE-2021-42574), and line ends that
/// `is_control` does not name.
fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(printable("a\nb\t\u{1b}[31m\0", 99), "a\\nb\\t\\u{1b}[31m\\u{0}");
        assert_eq!(printable("\u{202e}gpj.exe\u{2028}", 99), "\\u{202e}gpj.exe\\u{2028}");
        assert_eq!(printable("Jürgen 深", 99), "Jürgen 深");
    }

    #[test]
    fn long_texts_are_cut() {
        assert_eq!(printable(&"x".repeat(100), 3), "xxx…");
        assert_eq!(printable("abc", 3), "abc");
    }
}
