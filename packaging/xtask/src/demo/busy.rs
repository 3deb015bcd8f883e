//! A program that keeps one core busy, as a child of the demonstration.

use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::unistd::getppid;

/// The argument that makes this program the busy one.
pub(crate) const BURN: &str = "--burn";
/// The name under which it runs, so that people find it in the evidence.
const NAME: &str = "busy-loop";
/// It ends after so long even if nobody ends it.
const LONGEST: Duration = Duration::from_mins(3);

/// A child that computes until this value is dropped.
#[derive(Debug)]
pub(crate) struct BusyLoop(Child);

impl BusyLoop {
    /// Starts it; a link to this program with a telling name is made in `folder`.
    pub(crate) fn start(folder: &Path) -> io::Result<Self> {
        let link = folder.join(NAME);
        symlink(std::env::current_exe()?, &link)?;
        Command::new(link).args(["demo", "--", BURN]).stdin(Stdio::null()).spawn().map(Self)
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for BusyLoop {
    fn drop(&mut self) {
        let _already_gone = self.0.kill();
        let _already_gone = self.0.wait();
    }
}

/// Computes until the parent is gone or the time is over.
pub(crate) fn burn() {
    let (parent, start) = (getppid(), Instant::now());
    let mut number = 1_u64;
    while getppid() == parent && start.elapsed() < LONGEST {
        for _ in 0..10_000_000 {
            number = std::hint::black_box(
                number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1),
            );
        }
    }
}
