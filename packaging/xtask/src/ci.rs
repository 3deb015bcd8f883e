//! What `cargo ci` and `cargo check-all` consist of.

use crate::steps::Step;
use crate::{bench, deb, e2e, rings, scripts, setup, units};

const FORMAT: Step = Step::new("format", &[], rings::format);
const LINT: Step = Step::new("lint", &[], rings::lint);
const BUILD: Step = Step::new("build", &[], rings::build);
const CORE: Step = Step::new("tests: core", &[], rings::core);
const SHELL: Step = Step::new("tests: shell", &["build"], rings::shell);
const WORLD: Step = Step::new("tests: world", &["build"], rings::world);
const ACCURACY: Step = Step::new("tests: accuracy", &["build"], rings::accuracy);
const CELLS: Step = Step::new("tests: cells", &["build"], rings::cells);
const TIDY: Step = Step::new("tests: tidy", &[], rings::tidy);
const DOCS: Step = Step::new("docs", &[], rings::docs);
const SCRIPTS: Step = Step::new("scripts", &[], scripts::check);
const UNITS: Step = Step::new("units", &[], units::check);
const RELEASE: Step = Step::new("release", &[], rings::release);
const DEB: Step = Step::new("deb", &["release"], deb::build);
const LINTIAN: Step = Step::new("lintian", &["deb"], deb::lint);
const CONTENTS: Step = Step::new("contents", &["deb"], deb::contents);
const E2E: Step = Step::new("e2e", &["deb"], e2e::step);

/// The quick loop: what a change needs before it is shown to anybody.
pub(crate) fn quick() -> Vec<Step> {
    vec![FORMAT, LINT, BUILD, CORE, SHELL, WORLD, ACCURACY, TIDY]
}

/// Everything, cheap things first.
pub(crate) fn everything() -> Vec<Step> {
    let mut steps = vec![Step::new("set-up", &[], setup::install)];
    steps.extend(quick());
    steps.extend([CELLS, DOCS, SCRIPTS, UNITS, RELEASE, DEB, LINTIAN, CONTENTS, E2E]);
    steps
}

/// The package alone.
pub(crate) fn package() -> Vec<Step> {
    vec![RELEASE, DEB, LINTIAN, CONTENTS]
}

/// The figures.
pub(crate) fn figures() -> Vec<Step> {
    vec![RELEASE, Step::new("figures", &["release"], bench::measure)]
}
