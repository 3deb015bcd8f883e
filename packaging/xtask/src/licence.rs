//! SPDX licence expressions: whether one can be met with permissive licences alone.

/// Licences that ask for no more than a notice.
const PERMISSIVE: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Whether an expression such as `(MIT OR GPL-2.0-only) AND ISC` can be met with permissive licences. An old-style
/// `MIT/Apache-2.0` means OR. An expression that cannot be read is not permissive.
pub(crate) fn is_permissive(expression: &str) -> bool {
    let spaced = expression
        .replace('/', " OR ")
        .replace('(', " ( ")
        .replace(')', " ) ")
        .replace(" WITH ", "\u{1f}WITH\u{1f}");
    let words: Vec<String> = spaced
        .split(' ')
        .filter(|word| !word.is_empty())
        .map(|word| word.replace('\u{1f}', " "))
        .collect();
    let mut rest = words.as_slice();
    either(&mut rest) == Some(true) && rest.is_empty()
}

/// `a OR b OR …`, each of them `a AND b AND …`.
fn either(rest: &mut &[String]) -> Option<bool> {
    let mut any = both(rest)?;
    while take(rest, "OR") {
        any |= both(rest)?;
    }
    Some(any)
}

fn both(rest: &mut &[String]) -> Option<bool> {
    let mut all = one(rest)?;
    while take(rest, "AND") {
        all &= one(rest)?;
    }
    Some(all)
}

fn one(rest: &mut &[String]) -> Option<bool> {
    if take(rest, "(") {
        let inner = either(rest)?;
        return take(rest, ")").then_some(inner);
    }
    let (name, after) = rest.split_first()?;
    if ["OR", "AND", ")"].contains(&name.as_str()) {
        return None;
    }
    *rest = after;
    Some(PERMISSIVE.contains(&name.as_str()))
}

fn take(rest: &mut &[String], word: &str) -> bool {
    match rest.split_first() {
        Some((first, after)) if first == word => {
            *rest = after;
            true
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::is_permissive;

    #[test]
    fn one_permissive_alternative_is_enough() {
        assert!(is_permissive("MIT OR GPL-2.0-only"));
        assert!(is_permissive("GPL-2.0-only/MIT"));
        assert!(is_permissive("Apache-2.0 WITH LLVM-exception OR GPL-3.0-only"));
    }

    #[test]
    fn all_that_are_joined_must_be_permissive() {
        assert!(is_permissive("(MIT OR Apache-2.0) AND Unicode-3.0"));
        assert!(!is_permissive("MIT AND GPL-2.0-only"));
        assert!(!is_permissive("(MIT OR ISC) AND (GPL-2.0-only OR MPL-2.0)"));
    }

    #[test]
    fn what_cannot_be_read_is_not_permissive() {
        for garbage in
            ["", "()", "MIT OR", "OR MIT", "(MIT", "MIT)", "MIT ISC", "AND", "Apache-2.0 WITH"]
        {
            assert!(!is_permissive(garbage), "{garbage}");
        }
    }
}
