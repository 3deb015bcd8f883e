//! Stolen time and the number of CPUs, from `/proc/stat` (`proc_stat(5)`).

use nix::unistd::{SysconfVar, sysconf};

use super::process::number;
use super::{HostError, HostRoot};

/// The most of `/proc/stat` that is read: its line of interrupts is long on a large machine.
const LIMIT: usize = 4 << 20;
/// The file.
pub const PATH: &str = "/proc/stat";

/// What the first lines say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stolen {
    /// Time that the hypervisor gave to others while a CPU of this machine wanted to run, microseconds over all CPUs
    /// since boot.
    pub steal_us: u64,
    /// How many CPUs are on line. A CPU that comes or goes takes its times with it.
    pub cpus: usize,
}

/// Reads it.
pub fn stolen(root: &HostRoot) -> Result<Stolen, HostError> {
    let mut text = Vec::new();
    root.read_into(PATH, LIMIT, &mut text)?;
    let hertz = sysconf(SysconfVar::CLK_TCK).ok().flatten();
    let hertz = hertz.and_then(|hertz| u64::try_from(hertz).ok()).filter(|hertz| *hertz > 0);
    parse(&text, 1_000_000 / hertz.unwrap_or(100))
        .ok_or_else(|| HostError::malformed(PATH, "no line 'cpu' with eight times in it"))
}

/// `cpu user nice system idle iowait irq softirq steal …`, then one line a CPU.
fn parse(text: &[u8], tick_us: u64) -> Option<Stolen> {
    let mut lines = text.split(|byte| *byte == b'\n');
    let mut all = lines.next()?.strip_prefix(b"cpu ")?.split(|byte| *byte == b' ');
    let mut fields = all.by_ref().filter(|field| !field.is_empty()).map(number);
    let mut steal = 0;
    for _ in 0..8 {
        steal = fields.next()??;
    }
    let cpus = lines.take_while(|line| line.starts_with(b"cpu")).count();
    (cpus > 0).then(|| Stolen { steal_us: steal.saturating_mul(tick_us), cpus })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::tree::Tree;

    #[test]
    fn the_eighth_time_is_what_was_stolen() {
        let text = b"cpu  1 2 3 4 5 6 7 80 9 10\ncpu0 1 2 3 4 5 6 7 40 9 10\ncpu1 0 0 0 0 0 0 0 40 0 0\nintr 5\n";
        assert_eq!(parse(text, 10_000), Some(Stolen { steal_us: 800_000, cpus: 2 }));
    }

    #[test]
    fn garbage_and_old_kernels_are_refused() {
        for text in [
            &b""[..],
            b"cpu",
            b"cpu  1 2 3 4 5 6 7\ncpu0 1 2 3 4 5 6 7\n",
            b"cpu  1 2 3 4 5 6 7 x\ncpu0 1\n",
            b"cpu  1 2 3 4 5 6 7 -8\ncpu0 1\n",
            b"cpu  1 2 3 4 5 6 7 8\nintr 5\n",
            b"intr 5\ncpu  1 2 3 4 5 6 7 8\n",
        ] {
            assert_eq!(parse(text, 10_000), None, "{}", String::from_utf8_lossy(text));
        }
    }

    #[test]
    fn this_machine_can_be_read() {
        assert!(stolen(&HostRoot::real()).unwrap().cpus > 0);
        let error = stolen(&Tree::new().root()).unwrap_err();
        assert!(error.is_missing() && error.to_string().contains(PATH), "{error}");
    }
}
