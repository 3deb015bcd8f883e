//! Whether a job that was left running is a server, by what it listens at.
//!
//! `/proc/PID/fd` is closed to the agent, and sockets tell the control group in which they were made, not the process. So a socket
//! says something only where nothing but the job is in its group: then it is the job's. In doubt it is a job. A port that
//! the kernel chose on the loopback is no service: trackers of experiments, drivers of browsers and debuggers listen so. Nor is a
//! UDP socket at such a port: whoever sends a log has one. Only a unit that somebody gave a name is taken for a service
//! then, since most of them are.

use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;

use super::{Left, Look, Standing, names, place};
use crate::host::cgroup::Hierarchy;
use crate::host::{HostError, tcp, udp};
use crate::sources::sessions::record::{Record, find};

/// Where ports begin that the kernel chooses (`net.ipv4.ip_local_port_range`).
const CHOSEN: u16 = 32_768;

impl Left {
    /// Which of these jobs are servers.
    pub(super) fn serving(
        &mut self,
        look: &Look<'_>,
        jobs: &[(Record, u32)],
    ) -> Result<HashSet<u32>, HostError> {
        let mut served = HashSet::new();
        if jobs.is_empty() {
            return Ok(served);
        }
        let Some(hierarchy) = Hierarchy::find_unified(&self.root)? else { return Ok(served) };
        let mut groups: BTreeMap<String, Vec<Record>> = BTreeMap::new();
        for (record, _) in jobs {
            groups.entry(self.group(record)?).or_default().push(*record);
        }
        groups.retain(|group, jobs| jobs.len() == 1 && !group.is_empty());
        if groups.is_empty() {
            return Ok(served);
        }
        let (serving, hearing) = self.listening()?;
        for (group, jobs) in groups {
            let id = hierarchy.id(&group)?;
            let among = |groups: &HashSet<u64>| id.is_some_and(|id| groups.contains(&id));
            let listens = among(&serving) || (place::is_named_unit(&group) && among(&hearing));
            let Some(record) = jobs.first().filter(|_| listens) else { continue };
            if is_alone(look, &hierarchy.pids(&group)?, record) {
                served.insert(record.pid);
            }
        }
        Ok(served)
    }

    /// The control groups, by number, in which something serves at a port, and those in which something waits for datagrams.
    fn listening(&self) -> Result<(HashSet<u64>, HashSet<u64>), HostError> {
        let (mut serving, mut hearing) = (HashSet::new(), HashSet::new());
        for (at, listener) in tcp::listeners(&self.root)?.unwrap_or_default() {
            serving.extend(listener.cgroup.filter(|_| is_service(at)));
        }
        for socket in udp::dump(&self.root)?.unwrap_or_default() {
            let hears = !socket.connected && is_service(socket.local);
            hearing.extend(socket.cgroup.filter(|_| hears));
            serving.extend(socket.cgroup.filter(|_| hears && socket.local.port() < CHOSEN));
        }
        Ok((serving, hearing))
    }
}

/// Whether nothing else than a job and agents that never listen is in a group.
fn is_alone(look: &Look<'_>, pids: &[u32], job: &Record) -> bool {
    pids.iter().filter_map(|pid| find(look.records, *pid)).all(|index| {
        let standing = look.standing.get(index).copied().flatten();
        let quiet = |record: &Record| names::is_quiet(&record.name());
        standing == Some(Standing::Part(job.pid)) || look.records.get(index).is_none_or(quiet)
    })
}

/// Whether a service is offered at an address, rather than something said within a program.
fn is_service(at: SocketAddr) -> bool {
    at.port() != 0 && !(at.ip().to_canonical().is_loopback() && at.port() >= CHOSEN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_the_kernel_chose_on_the_loopback_is_no_service() {
        for (at, serves) in [
            ("0.0.0.0:8000", true),
            ("[::]:8501", true),
            ("127.0.0.1:5000", true),
            ("0.0.0.0:40000", true),
            ("127.0.0.1:40000", false),
            ("[::1]:51000", false),
            ("[::ffff:127.0.0.1]:51000", false),
        ] {
            assert_eq!(is_service(at.parse().unwrap()), serves, "{at}");
        }
    }
}
