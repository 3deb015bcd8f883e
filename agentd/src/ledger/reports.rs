//! Reports for people: one file for each end of an action, kept after the ledger has moved on.

use std::path::{Path, PathBuf};

use agent_core::stamp::Stamp;
use serde::Serialize;

use super::prune;
use crate::durable::{Disk, DurableError, Kernel, private_folder, replace_on};

/// At most so many reports are kept; the oldest go first.
pub const MOST_REPORTS: usize = 200;

/// The largest report.
const MOST_REPORT: usize = 256 * 1024;

/// Why a report could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// A step on a file failed.
    #[error("write a report: {0}")]
    Disk(#[from] DurableError),
    /// The kind cannot be part of a file's name.
    #[error("write a report: {0:?} is not a kind of lower-case letters and dashes")]
    Kind(String),
    /// The report is too large or has no JSON form.
    #[error("write a report of kind {kind}: {why}")]
    Form {
        /// The kind.
        kind: String,
        /// What is wrong.
        why: String,
    },
}

/// The folder of reports.
#[derive(Debug)]
pub struct Reports<D: Disk = Kernel> {
    folder: PathBuf,
    disk: D,
}

impl Reports<Kernel> {
    /// The reports in a folder, which is made when the first is written.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self::on(Kernel, folder)
    }
}

impl<D: Disk> Reports<D> {
    /// [`Reports::new`] on a given disk.
    pub fn on(disk: D, folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), disk }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Writes a report durably as `TIME-KIND.json` and gives its path. The same time and kind give the same file.
    pub fn write(
        &self,
        kind: &str,
        at: Stamp,
        report: &impl Serialize,
    ) -> Result<PathBuf, ReportError> {
        let legal = |c: char| c.is_ascii_lowercase() || c == '-';
        if kind.is_empty() || kind.len() > 40 || !kind.chars().all(legal) {
            return Err(ReportError::Kind(kind.chars().take(40).collect()));
        }
        let form = |why: String| ReportError::Form { kind: kind.to_owned(), why };
        let mut bytes =
            serde_json::to_vec_pretty(report).map_err(|error| form(error.to_string()))?;
        bytes.push(b'\n');
        if bytes.len() > MOST_REPORT {
            return Err(form(format!("{} bytes are more than {MOST_REPORT}", bytes.len())));
        }
        private_folder(&self.folder)?;
        let path = self.folder.join(format!("{}-{kind}.json", file_time(at)));
        replace_on(&self.disk, &path, &bytes)?;
        prune(&self.disk, &self.folder, "json", MOST_REPORTS)?;
        Ok(path)
    }
}

/// Wall time in UTC as it sorts by name and needs no quoting in a shell: `20261121T093000.123Z`.
fn file_time(at: Stamp) -> String {
    let time = jiff::Timestamp::from_millisecond(at.wall_ms).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    time.strftime("%Y%m%dT%H%M%S.%3fZ").to_string()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use nix::errno::Errno;
    use serde_json::json;

    use super::*;
    use crate::durable::Step;
    use crate::durable::faulty::Faulty;

    #[test]
    fn a_report_is_a_file_named_by_time_and_kind() {
        let root = tempfile::tempdir().unwrap();
        let reports = Reports::new(root.path().join("reports"));
        let at = Stamp::new(0, 0, 1_795_253_400_123);
        let path = reports.write("never-stopped", at, &json!({ "power": "stop" })).unwrap();
        assert_eq!(path.file_name().unwrap(), "20261121T093000.123Z-never-stopped.json");
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text, "{\n  \"power\": \"stop\"\n}\n");
    }

    #[test]
    fn the_oldest_reports_go() {
        let root = tempfile::tempdir().unwrap();
        let reports = Reports::new(root.path());
        for number in 0..i64::try_from(MOST_REPORTS).unwrap() + 5 {
            reports.write("hibernated", Stamp::new(0, 0, number * 1_000), &json!({})).unwrap();
        }
        let left = super::super::listed(root.path(), "json").unwrap();
        assert_eq!(left.len(), MOST_REPORTS);
        assert!(left[0].ends_with("19700101T000005.000Z-hibernated.json"), "{:?}", left[0]);
    }

    #[test]
    fn what_cannot_be_a_report_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let reports = Reports::new(root.path().join("r"));
        for kind in ["", "../x", "a/b", "A", "a b", &"a".repeat(41)] {
            let error = reports.write(kind, Stamp::default(), &json!({})).unwrap_err();
            assert!(matches!(error, ReportError::Kind(_)), "{kind}: {error}");
        }
        let large = "x".repeat(MOST_REPORT);
        assert!(reports.write("a", Stamp::default(), &large).is_err());
        assert!(!reports.folder().exists(), "nothing was written");
    }

    #[test]
    fn a_full_disk_is_an_error_that_names_the_file() {
        let root = tempfile::tempdir().unwrap();
        let reports = Reports::on(Faulty::at(Step::Write, Errno::ENOSPC), root.path());
        let error = reports.write("stopped", Stamp::default(), &json!({})).unwrap_err().to_string();
        assert!(error.starts_with("write a report: write "), "{error}");
        assert!(error.contains("-stopped.json"), "{error}");
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_clock_beyond_all_dates_still_names_a_file() {
        let root = tempfile::tempdir().unwrap();
        let reports = Reports::new(root.path());
        for wall_ms in [i64::MIN, i64::MAX, -1] {
            reports.write("stopped", Stamp::new(0, 0, wall_ms), &json!({})).unwrap();
        }
    }
}
