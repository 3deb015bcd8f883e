//! The classes of machines on which nobody can tell use from none, with what to do about each.

use core::fmt::Write as _;

use crate::results::Row;
use crate::score::Verdict;

/// Machines that look alike from within, whatever their label is.
#[derive(Clone, Copy, Debug)]
pub struct Class {
    /// What they have in common.
    pub name: &'static str,
    /// Why they cannot be told apart.
    pub why: &'static str,
    /// What its owner does.
    pub cure: &'static str,
    /// Scenarios that may be stopped in the middle of work.
    pub stopped: &'static [&'static str],
    /// Scenarios that may be kept up in vain.
    pub kept: &'static [&'static str],
}

/// Every class.
pub const CLASSES: &[Class] = &[
    Class {
        name: "work below every limit for longer than `job_after`",
        why: "A program that sleeps, or asks another machine and waits, uses a hundredth of a core and some hundred bytes a second. So does a forgotten daemon. One that somebody left running is waited for during `job_after`, four hours, and for no longer.",
        cure: "`agentctl run -- COMMAND`, `agentctl hold`, or a longer `idle.job_after`",
        stopped: &["B17"],
        kept: &[],
    },
    Class {
        name: "a click now and then in a page",
        why: "A person's click in a dashboard and a page that asks by itself (S01) send as much, and neither reaches a limit.",
        cure: "a lower `[source.clients] busy_above`, or `agentctl hold`",
        stopped: &["P35"],
        kept: &[],
    },
    Class {
        name: "an idle program that works hard",
        why: "A scheduler, a cluster's workers, a server that polls: from outside their work is work. Status says after some hours what keeps the machine up, and the line that ends it.",
        cure: "`[source.cpu.unit.\"NAME\"] busy_above = …` for its unit or container",
        stopped: &[],
        kept: &["B08", "J22", "J24", "J28", "J36", "J38", "J42", "J48"],
    },
    Class {
        name: "an animated page on a remote desktop",
        why: "A program of a person's draws with half a core and more, and nobody looks.",
        cure: "`profile = \"desktop\"`, and a higher `[source.cpu] busy_above`",
        stopped: &[],
        kept: &["P31"],
    },
    Class {
        name: "processes that are hidden from the agent",
        why: "With `hidepid=4`, or `hidepid=2` and `gid=` of another group, nobody can say whether jobs run, and unknown is never idle. `doctor` and status name the cure. Plain `hidepid=2` hides nothing from the agent (S13).",
        cure: "mount `/proc` with `gid=` of a group and put the agent into it (`SupplementaryGroups=`)",
        stopped: &[],
        kept: &[],
    },
];

/// Whether a verdict is one that a documented class allows.
pub fn allows(id: &str, verdict: Verdict) -> bool {
    CLASSES.iter().any(|class| match verdict {
        Verdict::Right { .. } => true,
        Verdict::Wrong { .. } => class.stopped.contains(&id),
        Verdict::Missed => class.kept.contains(&id),
    })
}

/// What the page says of the classes.
pub(crate) const TEXT: &str = "\
What is wrong on these machines belongs to one of the classes below: from within, nothing tells the use from none. Everything outside
of them is right, also in the random worlds; a test demands both.
";

/// The classes as a table, with what became of their scenarios among `rows`.
pub(crate) fn table(text: &mut String, rows: &[Row]) {
    let _ = writeln!(
        text,
        "| undecidable | why | what to do | stopped wrongly | kept up in vain | only in some worlds |"
    );
    let _ = writeln!(text, "|---|---|---|---|---|---|");
    for class in CLASSES {
        let verdict =
            |id: &str| rows.iter().find(|row| row.scenario.id == id).map(|row| row.ours.class());
        let became = |ids: &[&'static str], class: char| {
            let ids: Vec<&str> =
                ids.iter().copied().filter(|id| verdict(id) == Some(class)).collect();
            ids.join(" ")
        };
        let ids = class.stopped.iter().chain(class.kept).copied();
        let sometimes: Vec<&str> = ids.filter(|id| verdict(id) == Some('✓')).collect();
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} |",
            class.name,
            class.why,
            class.cure,
            became(class.stopped, 'W'),
            became(class.kept, 'N'),
            sometimes.join(" ")
        );
    }
    text.push('\n');
}
