//! The doctor's checks, run once for everybody who asks at the same time.
//!
//! The checks ask EC2 and every local user may ask for them, so a result is handed out again for a while and only one
//! run is under way at any time.

use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::time::Duration;
use std::sync::Arc;

use agent_proto::doctor::{Check, CheckStatus as WireStatus, Diagnosis};
use agent_proto::limits;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckStatus {
    /// As it should be.
    Ok,
    /// It works, but something should be changed.
    Warning,
    /// It does not work.
    Failed,
    /// It could not be looked at, or does not apply here.
    Skipped,
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DoctorCheck {
    /// What was looked at: `imds`, `credentials`, `ec2:StopInstances` …
    pub name: String,
    /// The result.
    pub status: CheckStatus,
    /// What was found, one line.
    pub detail: String,
    /// What to do.
    pub remedy: Option<String>,
}

type Checks = Pin<Box<dyn Future<Output = Vec<DoctorCheck>> + Send>>;

/// Runs the checks.
#[derive(Clone)]
pub struct DoctorRun {
    run: Arc<dyn Fn() -> Checks + Send + Sync>,
    /// Held while the checks run, so that whoever asks meanwhile waits for the same result.
    last: Arc<Mutex<Option<(Instant, Diagnosis)>>>,
}

impl fmt::Debug for DoctorRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DoctorRun")
    }
}

impl DoctorRun {
    /// A doctor that runs these checks. The future is dropped when it takes longer than
    /// [`agent_proto::limits::DOCTOR_DEADLINE`].
    pub fn new<F>(run: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Vec<DoctorCheck>> + Send + 'static,
    {
        Self { run: Arc::new(move || Box::pin(run())), last: Arc::default() }
    }

    /// The diagnosis, at most [`limits::DOCTOR_FRESH`] old, within `deadline`.
    pub(super) async fn diagnose(&self, deadline: Duration) -> Option<Diagnosis> {
        timeout(deadline, async {
            let mut last = self.last.lock().await;
            if let Some((made, diagnosis)) = &*last
                && made.elapsed() < limits::DOCTOR_FRESH
            {
                return diagnosis.clone();
            }
            let diagnosis = Diagnosis::new((self.run)().await.into_iter().map(wire).collect());
            *last = Some((Instant::now(), diagnosis.clone()));
            diagnosis
        })
        .await
        .ok()
    }
}

fn wire(check: DoctorCheck) -> Check {
    let status = match check.status {
        CheckStatus::Ok => WireStatus::Ok,
        CheckStatus::Warning => WireStatus::Warning,
        CheckStatus::Failed => WireStatus::Failed,
        CheckStatus::Skipped => WireStatus::Skipped,
    };
    Check { name: check.name, status, detail: check.detail, remedy: check.remedy }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::sync::atomic::{AtomicUsize, Ordering};

    fn counting(takes: Duration) -> (DoctorRun, Arc<AtomicUsize>) {
        let runs = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&runs);
        let doctor = DoctorRun::new(move || {
            let counter = Arc::clone(&counter);
            async move {
                tokio::time::sleep(takes).await;
                counter.fetch_add(1, Ordering::Relaxed);
                vec![DoctorCheck {
                    name: "imds".into(),
                    status: CheckStatus::Failed,
                    detail: "HTTP 403".into(),
                    remedy: Some("enable it".into()),
                }]
            }
        });
        (doctor, runs)
    }

    #[tokio::test(start_paused = true)]
    async fn many_who_ask_at_once_cost_one_run() {
        let (doctor, runs) = counting(Duration::from_secs(2));
        let asks = (0..20).map(|_| doctor.diagnose(Duration::from_secs(25)));
        for diagnosis in futures_util::future::join_all(asks).await {
            assert!(!diagnosis.unwrap().ok);
        }
        assert_eq!(runs.load(Ordering::Relaxed), 1);
        tokio::time::sleep(limits::DOCTOR_FRESH).await;
        doctor.diagnose(Duration::from_secs(25)).await.unwrap();
        assert_eq!(runs.load(Ordering::Relaxed), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_check_that_hangs_is_given_up_and_can_be_tried_again() {
        let (doctor, runs) = counting(Duration::from_mins(1));
        assert!(doctor.diagnose(Duration::from_secs(25)).await.is_none());
        assert!(doctor.diagnose(Duration::from_mins(2)).await.is_some());
        assert_eq!(runs.load(Ordering::Relaxed), 1);
    }
}
