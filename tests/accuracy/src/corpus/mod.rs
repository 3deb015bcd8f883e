//! The labelled scenarios, in four groups.
//!
//! The odd numbers are those on which the other tools' rules were first scored, with their parameters; the even ones
//! fill what lies between them. Labels that are a choice and no fact of physics are said to be so in the title.

mod compute;
mod interactive;
mod lifecycle;
mod noise;
mod screens;

use crate::scenario::Scenario;

/// Every scenario, by id.
pub fn all() -> Vec<Scenario> {
    let mut all = interactive::all();
    all.extend(screens::all());
    all.extend(compute::all());
    all.extend(noise::all());
    all.extend(lifecycle::all());
    all.sort_by_key(|scenario| (scenario.id.chars().next(), number(scenario.id)));
    all
}

/// The scenario of an id.
pub fn named(id: &str) -> Option<Scenario> {
    all().into_iter().find(|scenario| scenario.id == id)
}

fn number(id: &str) -> u32 {
    id.get(1..).and_then(|digits| digits.parse().ok()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn there_are_at_least_78_scenarios_each_with_its_own_id() {
        let all = all();
        let ids: BTreeSet<_> = all.iter().map(|scenario| scenario.id).collect();
        assert_eq!(ids.len(), all.len());
        assert!(all.len() >= 78, "{}", all.len());
    }

    #[test]
    fn every_label_fits_into_its_scenario() {
        for scenario in all() {
            let minutes = f64::from(scenario.minutes);
            for work in &scenario.work {
                assert!(work.from < work.to && work.to <= minutes, "{}: {work:?}", scenario.id);
            }
            let last = scenario.work.iter().map(|w| w.to).fold(0.0, f64::max);
            // The machine is followed until it is too late to stop it.
            assert!(!scenario.stop || last + 130.0 <= minutes, "{} is too short", scenario.id);
        }
    }

    #[test]
    fn segments_begin_and_end_inside_a_scenario() {
        for scenario in all() {
            for segment in &scenario.segments {
                assert!(segment.from < segment.to, "{}", scenario.id);
                assert!(segment.to <= scenario.minutes * 60, "{}", scenario.id);
            }
        }
    }
}
