//! A line of a table of cron's, and the words of its command as a shell splits them, without expansions.

/// The command of a line of a table of the system (crontab(5)): what follows five times and a user. The first `%` that is
/// not escaped ends it; cron hands an escaped one to the shell without its backslash.
pub(super) fn command(line: &str) -> Option<String> {
    let line = line.trim_start();
    let fields = match line.chars().next()? {
        '@' => 2,
        first if first.is_ascii_digit() || first == '*' || first == '-' => 6,
        _ => return None,
    };
    let mut rest = line;
    for _ in 0..fields {
        rest = rest.trim_start().split_once(char::is_whitespace)?.1;
    }
    let end = rest
        .char_indices()
        .find(|(at, c)| *c == '%' && !rest.get(..*at).is_some_and(|before| before.ends_with('\\')));
    let command = end.and_then(|(end, _)| rest.get(..end)).unwrap_or(rest).trim();
    (!command.is_empty()).then(|| command.replace("\\%", "%"))
}

/// The simple commands of a command line, each as its words, without assignments and redirections. One of whose words the
/// shell would expand has none: nobody knows how a process would show them.
pub(super) fn simple_commands(line: &str) -> Vec<Vec<String>> {
    let mut splitter = Splitter::default();
    let mut rest = line.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\'' => splitter.quoted(rest.by_ref().take_while(|c| *c != '\'')),
            '"' => splitter.in_double_quotes(&mut rest),
            '\\' => splitter.push(rest.next().unwrap_or('\\')),
            '>' | '<' => {
                splitter.redirect();
                while rest.next_if(|c| matches!(c, '>' | '<' | '&' | '|')).is_some() {}
            }
            ';' | '&' | '|' | '\n' => splitter.end_command(),
            c if c.is_whitespace() => splitter.end_word(),
            '#' if splitter.word.is_none() => break,
            '$' | '`' | '(' | ')' | '{' | '}' | '*' | '?' | '[' | '~' => {
                splitter.expands = true;
                splitter.push(c);
            }
            c => splitter.push(c),
        }
    }
    splitter.end_command();
    splitter.commands
}

#[derive(Debug, Default)]
struct Splitter {
    commands: Vec<Vec<String>>,
    words: Vec<String>,
    /// None: no word has begun.
    word: Option<String>,
    /// The word is where something goes or comes from.
    redirects: bool,
    expands: bool,
}

impl Splitter {
    fn push(&mut self, c: char) {
        self.word.get_or_insert_default().push(c);
    }

    fn quoted(&mut self, text: impl Iterator<Item = char>) {
        self.word.get_or_insert_default().extend(text);
    }

    fn in_double_quotes(&mut self, rest: &mut impl Iterator<Item = char>) {
        self.quoted(core::iter::empty());
        while let Some(c) = rest.next() {
            match c {
                '"' => return,
                '\\' => match rest.next() {
                    Some(escaped @ ('$' | '`' | '"' | '\\')) => self.push(escaped),
                    other => self.quoted(core::iter::once('\\').chain(other)),
                },
                '$' | '`' => {
                    self.expands = true;
                    self.push(c);
                }
                c => self.push(c),
            }
        }
    }

    /// A redirection begins; a number right before it belongs to it.
    fn redirect(&mut self) {
        if self.word.as_ref().is_some_and(|word| word.chars().all(|c| c.is_ascii_digit())) {
            self.word = None;
        }
        self.end_word();
        self.redirects = true;
    }

    fn end_word(&mut self) {
        let Some(word) = self.word.take() else { return };
        let assigns = || {
            let name = word.split_once('=').map_or("", |(name, _)| name);
            let legal = |c: char| c.is_ascii_alphanumeric() || c == '_';
            !name.is_empty() && name.chars().all(legal)
        };
        if core::mem::take(&mut self.redirects) || (self.words.is_empty() && assigns()) {
            return;
        }
        self.words.push(word);
    }

    fn end_command(&mut self) {
        self.end_word();
        self.redirects = false;
        let words = core::mem::take(&mut self.words);
        let expands = core::mem::take(&mut self.expands);
        if !words.is_empty() {
            self.commands.push(if expands { Vec::new() } else { words });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_of_a_line_ends_at_a_percent_sign() {
        for (line, expected) in [
            ("*/5 * * * * root a \\% b % c", Some("a % b")),
            ("0 3 * * 1-5 www-data x", Some("x")),
            ("@daily root y z", Some("y z")),
            ("MAILTO=root", None),
            ("0 3 * * * root", None),
            ("", None),
        ] {
            assert_eq!(command(line).as_deref(), expected, "{line}");
        }
    }

    #[test]
    fn a_line_is_split_as_a_shell_splits_it() {
        for (line, expected) in [
            ("/usr/lib64/sa/sa1 1 1", &[&["/usr/lib64/sa/sa1", "1", "1"][..]][..]),
            ("a  'b  c' \"d \\\" e\\f\" g\\ h ''", &[&["a", "b  c", "d \" e\\f", "g h", ""]]),
            ("a > /dev/null 2>&1 && b 3 2>/dev/null", &[&["a"], &["b", "3"]]),
            ("[ -x /x ] && y 1", &[&[], &["y", "1"]]),
            ("A=1 B='x y' c D=2; d | e & f # g", &[&["c", "D=2"], &["d"], &["e"], &["f"]]),
            ("x $HOME", &[&[]]),
            ("x \"$HOME\"", &[&[]]),
            ("x '$HOME'", &[&["x", "$HOME"]]),
            ("x a#b", &[&["x", "a#b"]]),
            ("x 'open", &[&["x", "open"]]),
            (" ; && ", &[]),
        ] {
            assert_eq!(simple_commands(line), expected, "{line}");
        }
    }

    proptest::proptest! {
        /// What is quoted comes back as it was, whatever it is.
        #[test]
        fn quoted_words_come_back(words in proptest::collection::vec("[^'\0]{0,12}", 1..5)) {
            let line: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
            let first = format!("x {}", line.join(" "));
            let all: Vec<String> = core::iter::once("x".to_owned()).chain(words).collect();
            proptest::prop_assert_eq!(simple_commands(&first), [all]);
        }
    }
}
