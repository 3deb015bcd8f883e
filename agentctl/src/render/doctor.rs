//! The screen of `agentctl doctor`.

use std::fmt::Write;

use agent_proto::doctor::{Check, CheckStatus, Diagnosis};

use super::Look;
use super::style::Ink;
use super::text::wrapped;

/// One line a check, a remedy below it, and the sum.
pub(crate) fn doctor(diagnosis: &Diagnosis, look: &Look) -> String {
    let mut out: String = diagnosis.checks.iter().map(|check| line(check, look)).collect();
    let count = |status| diagnosis.checks.iter().filter(|check| check.status == status).count();
    // Writing to a string cannot fail.
    let _ = writeln!(
        out,
        "\n{} checks: {} failed, {} with a warning, {} skipped",
        diagnosis.checks.len(),
        count(CheckStatus::Failed),
        count(CheckStatus::Warning),
        count(CheckStatus::Skipped)
    );
    out
}

fn line(check: &Check, look: &Look) -> String {
    let (word, ink) = match check.status {
        CheckStatus::Ok => ("ok", Ink::Good),
        CheckStatus::Warning => ("WARNING", Ink::Notice),
        CheckStatus::Failed => ("FAILED", Ink::Alarm),
        CheckStatus::Skipped => ("skipped", Ink::Faint),
        _ => ("?", Ink::Notice),
    };
    let text = wrapped(&format!("{word:<9}{:<26}", format!("{} ", check.name)), 35, &check.detail);
    let text = text.strip_prefix(word).unwrap_or(&text);
    let mut out = format!("{}{text}", look.style.paint(ink, word));
    if let Some(remedy) = &check.remedy {
        out.push_str(&wrapped("           fix: ", 16, remedy));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::samples;

    #[test]
    fn each_check_has_a_line_and_each_problem_a_fix() {
        let check = |name: &str, status, detail: &str, remedy: Option<&str>| Check {
            name: name.into(),
            status,
            detail: detail.into(),
            remedy: remedy.map(str::to_owned),
        };
        let diagnosis = Diagnosis::new(vec![
            check("imds", CheckStatus::Ok, "IMDSv2 answers in 2 ms", None),
            check("clock", CheckStatus::Warning, "40 s behind EC2", Some("enable chrony")),
            check(
                "ec2:StopInstances",
                CheckStatus::Failed,
                "the role agentd-demo may not stop this instance (UnauthorizedOperation)",
                Some("attach the policy /usr/share/doc/agentd/iam/idle.json to the role"),
            ),
            check("gpu", CheckStatus::Skipped, "no GPU", None),
        ]);
        insta::assert_snapshot!(doctor(&diagnosis, &samples::look()));
    }
}
