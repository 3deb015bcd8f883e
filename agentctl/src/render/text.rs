//! Lines, columns, and text that cannot harm a terminal.

use serde_json::Value;

/// The width of every screen.
pub(crate) const WIDTH: usize = 80;

/// The column at which the second column of a labelled line begins.
pub(crate) const LABEL: usize = 14;

/// `label` and `text` in two columns, wrapped at [`WIDTH`], with a newline at the end.
pub(crate) fn labelled(label: &str, text: &str) -> String {
    let first = format!("{:<width$}", format!("  {label}"), width = LABEL + 2);
    wrapped(&first, LABEL + 2, text)
}

/// `first`, then the words of `text`, each further line indented, with a newline at the end.
///
/// A word that is longer than a line stays whole: it is a path or a command that somebody wants to copy.
pub(crate) fn wrapped(first: &str, indent: usize, text: &str) -> String {
    let mut out = first.to_owned();
    let mut column = first.chars().count();
    let mut empty = true;
    for word in text.split_whitespace() {
        let length = word.chars().count();
        if !empty && column + 1 + length > WIDTH {
            out.push('\n');
            out.push_str(&" ".repeat(indent));
            column = indent;
            empty = true;
        }
        if !empty {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += length;
        empty = false;
    }
    out.truncate(out.trim_end().len());
    out.push('\n');
    out
}

/// At most `width` characters; what is cut off leaves `~`.
pub(crate) fn fit(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mut out: String = text.chars().take(width.saturating_sub(1)).collect();
    out.push('~');
    out
}

/// Replaces control characters in every string of a document. Names of users, processes and cgroups come from
/// anybody, and an escape sequence in one could rewrite the screen.
pub(crate) fn defuse(value: &mut Value) {
    match value {
        Value::String(text) if text.chars().any(is_dangerous) => {
            *text = text.chars().map(|c| if is_dangerous(c) { '\u{fffd}' } else { c }).collect();
        }
        Value::Array(items) => items.iter_mut().for_each(defuse),
        Value::Object(fields) => fields.values_mut().for_each(defuse),
        _ => {}
    }
}

/// Control characters, and the marks that turn the direction of text (Unicode UAX #9).
fn is_dangerous(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_text_is_wrapped_under_itself() {
        let text = "one two three ".repeat(12);
        let out = labelled("because", &text);
        let lines: Vec<&str> = out.lines().collect();
        assert!(lines.len() > 2);
        assert!(lines[0].starts_with("  because       one two"));
        assert!(
            lines[1].starts_with("                t") || lines[1].starts_with("                o")
        );
        assert!(lines.iter().all(|line| line.len() <= WIDTH));
    }

    #[test]
    fn a_long_word_is_kept_whole() {
        let path = "/x".repeat(60);
        assert!(labelled("file", &format!("see {path} now")).contains(&path));
    }

    #[test]
    fn an_empty_text_leaves_no_spaces_behind() {
        assert_eq!(labelled("holds", ""), "  holds\n");
    }

    #[test]
    fn fitting_counts_characters() {
        assert_eq!(fit("grüße", 5), "grüße");
        assert_eq!(fit("grüße", 4), "grü~");
    }

    #[test]
    fn escape_sequences_are_taken_out_of_every_string() {
        let mut value = serde_json::json!({"a": ["\u{1b}[2Jhi", {"b": "x\ny\u{202e}z"}], "n": 1});
        defuse(&mut value);
        assert_eq!(
            value,
            serde_json::json!({"a": ["\u{fffd}[2Jhi", {"b": "x\u{fffd}y\u{fffd}z"}], "n": 1})
        );
    }
}
