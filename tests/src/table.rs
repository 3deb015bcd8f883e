//! Many cases side by side. A case that waits for an agent's short windows leaves the processor to the others.

use std::collections::VecDeque;
use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::thread;

use crate::locked;

/// Cases that run at once.
const AT_ONCE: usize = 12;

/// Runs `check` on each named case, several at once, and reports every failure by the case's name.
///
/// # Errors
/// When at least one case failed or panicked: all of them with their reasons.
pub fn each<C: Send, E: Display>(
    cases: impl IntoIterator<Item = (String, C)>,
    check: impl Fn(C) -> Result<(), E> + Sync,
) -> Result<(), String> {
    let waiting: Mutex<VecDeque<(String, C)>> = Mutex::new(cases.into_iter().collect());
    let failed = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let next = locked(&waiting).pop_front();
                    let Some((name, case)) = next else { return };
                    let why = match catch_unwind(AssertUnwindSafe(|| check(case))) {
                        Ok(Ok(())) => continue,
                        Ok(Err(why)) => why.to_string(),
                        Err(_) => "it panicked, see above".to_owned(),
                    };
                    locked(&failed).push(format!("=== {name} ===\n{why}"));
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    if failed.is_empty() { Ok(()) } else { Err(failed.join("\n")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_is_reported_by_name() {
        let cases = (0..20).map(|number| (format!("case {number}"), number));
        let failed = each(cases, |number| match number {
            7 => Err("seven"),
            11 => panic!("eleven"),
            _ => Ok(()),
        });
        let failed = failed.unwrap_err();
        assert!(failed.contains("=== case 7 ===\nseven"), "{failed}");
        assert!(failed.contains("=== case 11 ===\nit panicked"), "{failed}");
        assert_eq!(failed.matches("===").count(), 4);
    }

    #[test]
    fn success_is_silent_and_no_case_is_a_success() {
        assert_eq!(each([("a".to_owned(), 1)], |_| Ok::<(), String>(())), Ok(()));
        assert_eq!(each(Vec::<(String, u8)>::new(), |_| Err("never")), Ok(()));
    }
}
