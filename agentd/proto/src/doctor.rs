//! `GET /v1/doctor`: whether the agent has what it needs.

use serde::{Deserialize, Serialize};

/// The schema of a [`Diagnosis`].
pub const SCHEMA: &str = "agentd/doctor/v1";

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum CheckStatus {
    /// As it should be.
    Ok,
    /// It works, but something should be changed.
    Warning,
    /// It does not work.
    Failed,
    /// It could not be looked at, or does not apply here.
    Skipped,
    /// A word that this reader does not know.
    #[serde(other)]
    Other,
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// What was looked at.
    pub name: String,
    /// The result.
    pub status: CheckStatus,
    /// What was found, one line.
    #[serde(default)]
    pub detail: String,
    /// What to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

/// All checks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnosis {
    /// [`SCHEMA`].
    #[serde(default)]
    pub schema: String,
    /// No check failed.
    #[serde(default)]
    pub ok: bool,
    /// The checks in order.
    #[serde(default)]
    pub checks: Vec<Check>,
}

impl Diagnosis {
    /// The document of these checks.
    pub fn new(checks: Vec<Check>) -> Self {
        let ok = checks.iter().all(|check| check.status != CheckStatus::Failed);
        Self { schema: SCHEMA.to_owned(), ok, checks }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(status: CheckStatus) -> Check {
        Check { name: "imds".into(), status, detail: String::new(), remedy: None }
    }

    #[test]
    fn only_a_failure_makes_the_diagnosis_bad() {
        assert!(Diagnosis::new(vec![check(CheckStatus::Ok), check(CheckStatus::Warning)]).ok);
        assert!(Diagnosis::new(vec![check(CheckStatus::Skipped)]).ok);
        assert!(!Diagnosis::new(vec![check(CheckStatus::Ok), check(CheckStatus::Failed)]).ok);
    }

    #[test]
    fn a_new_word_is_survived() {
        let check: Check = serde_json::from_str(r#"{"name":"x","status":"odd"}"#).unwrap();
        assert_eq!(check.status, CheckStatus::Other);
    }
}
