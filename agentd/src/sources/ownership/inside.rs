//! Whose a user's doings are inside the group of a service: the daemon's, a package's job, or somebody's.
//!
//! The kernel tells of a socket in which group and by which user it was made, and not by which process. So the processes of
//! the group are counted by user: a server that starts processes as other users (`RStudio` Server, xrdp, Slurm) starts them for
//! those, and beside a daemon that starts others' work (cron, Run Command, a runner of builds) everything is somebody's that
//! is neither the daemon's nor a job that a package brought. If several processes of one user come into question, it is
//! somebody's.
//!
//! A package's server that runs as one user only is that server, also where its user looks like a person's.

use std::collections::{HashMap, HashSet};

use agent_core::stamp::Stamp;

use super::started::{One, is_persons, of_package};
use super::{Jobs, Ownership, Place, Step, starts_work, unit_of};
use crate::host::cgroup::Hierarchy;
use crate::host::process::{self, Processes};
use crate::host::users::is_ordinary;
use crate::host::{HostError, HostRoot};
use crate::sources::pace::Pace;

/// A process here costs so many times what it does in a walk: its user and its arguments are looked up too.
const WEIGHT: usize = 4;
/// How deep groups may lie in a service.
const DEPTH: usize = 4;
/// The most groups that are remembered.
const GROUPS: usize = 256;

/// Whose something is that a user does in the group of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sources) enum Part {
    /// Somebody's, or it may be.
    Persons,
    /// Of a job that a package brought.
    Packaged,
    /// The daemon's own, or that of something that the system does for it.
    Daemon,
}

/// Who is in a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::sources) struct Inmates {
    /// Packages' jobs.
    pub(in crate::sources) packages: bool,
    /// Somebody's processes.
    pub(in crate::sources) persons: bool,
}

/// The users of one group's processes.
#[derive(Debug, Default)]
struct Census {
    persons: HashSet<u32>,
    packaged: HashSet<u32>,
    daemon: HashSet<u32>,
    at: Stamp,
    pace: Pace,
}

/// Counts the processes of groups by user, as often as their number allows.
#[derive(Debug)]
pub(in crate::sources) struct Inside {
    root: HostRoot,
    processes: Processes,
    known: HashMap<String, Census>,
    buffer: Vec<u8>,
}

/// A process of a group.
struct Member {
    parent: u32,
    uid: u32,
    name: Vec<u8>,
    terminal: bool,
    since: u64,
    step: Step,
}

/// The processes of a group by their number, and what is known of the group itself.
struct Group<'a> {
    place: Place<'a>,
    members: HashMap<u32, Member>,
}

impl Inside {
    /// Nothing is read yet.
    pub(in crate::sources) fn new(root: HostRoot) -> Self {
        Self {
            processes: Processes::new(root.clone()),
            root,
            known: HashMap::new(),
            buffer: Vec::new(),
        }
    }

    /// Whose it is what this user does at a place.
    pub(in crate::sources) fn part(
        &mut self,
        now: Stamp,
        groups: (&Hierarchy, &Ownership),
        place: Place<'_>,
        uid: u32,
    ) -> Result<Part, HostError> {
        let known = self.known.get(place.group);
        // A user who was not there is looked for at once.
        let stands = known.filter(|census| census.at == now || !census.pace.due(now));
        if let Some(part) = stands.and_then(|census| census.part(uid)) {
            return Ok(part);
        }
        if stands.is_none_or(|census| census.at != now) {
            let census = self.count(now, groups, place)?;
            if self.known.len() >= GROUPS {
                self.known.clear();
            }
            self.known.insert(place.group.to_owned(), census);
        }
        let found = self.known.get(place.group).and_then(|census| census.part(uid));
        // Of a person nothing else is known: the process has just ended. The system has sockets that no process holds.
        let nobody = if is_ordinary(uid) { Part::Persons } else { Part::Daemon };
        Ok(found.unwrap_or(nobody))
    }

    /// Who is in the group of a service right now.
    pub(in crate::sources) fn inmates(
        &mut self,
        now: Stamp,
        groups: (&Hierarchy, &Ownership),
        place: Place<'_>,
    ) -> Result<Inmates, HostError> {
        let census = self.count(now, groups, place)?;
        let (packages, persons) = (!census.packaged.is_empty(), !census.persons.is_empty());
        Ok(Inmates { packages, persons })
    }

    /// Makes the next look a real one.
    pub(in crate::sources) fn refresh(&mut self) {
        self.known.clear();
    }

    fn count(
        &mut self,
        now: Stamp,
        (hierarchy, ownership): (&Hierarchy, &Ownership),
        place: Place<'_>,
    ) -> Result<Census, HostError> {
        let starts = starts_work(unit_of(place.group)).is_some();
        let jobs =
            if starts { Jobs::read(&self.root, ownership.registry())? } else { Jobs::default() };
        let pids = hierarchy.pids_within(place.group, DEPTH)?;
        let proc = self.processes.open()?;
        let mut members = HashMap::with_capacity(pids.len());
        for pid in &pids {
            let Some(stat) = self.processes.read(&proc, *pid)? else { continue };
            let (parent, terminal, name) = (stat.ppid, stat.tty != 0, stat.comm.to_vec());
            let since = stat.start;
            let Some(uid) = self.processes.uid(*pid)? else { continue };
            let mut step = Step::Other;
            if starts {
                self.processes.arguments(*pid, &mut self.buffer)?;
                step = jobs.step(&process::words(&self.buffer), ownership.registry());
            }
            members.insert(*pid, Member { parent, uid, name, terminal, since, step });
        }
        let mut census = Group { place, members }.census();
        census.at = now;
        census.pace.walked(now, pids.len() * WEIGHT);
        Ok(census)
    }
}

impl Census {
    /// Whose it is what a user does; none if no process of theirs was there.
    fn part(&self, uid: u32) -> Option<Part> {
        let parts = [
            (&self.persons, Part::Persons),
            (&self.packaged, Part::Packaged),
            (&self.daemon, Part::Daemon),
        ];
        parts.into_iter().find(|(users, _)| users.contains(&uid)).map(|(_, part)| part)
    }
}

impl Group<'_> {
    fn census(&self) -> Census {
        let mut users = self.members.values().map(|one| one.uid);
        let first = users.next();
        let one_user = users.all(|uid| Some(uid) == first);
        let mut census = Census::default();
        let oldest = self.members.iter().map(|(pid, one)| (one.since, *pid)).min();
        let step = |pid| self.members.get(&pid).map(|it| (it.parent, it.step));
        for (pid, member) in &self.members {
            let parent = self.members.get(&member.parent).map(|parent| parent.name.as_slice());
            let Member { uid, terminal, since, .. } = *member;
            let oldest = oldest == Some((since, *pid));
            let one = One { name: &member.name, parent, uid, terminal, oldest };
            let users = if of_package(*pid, step).is_some() {
                &mut census.packaged
            } else if is_persons(self.place.group, self.place.class, one, one_user) {
                &mut census.persons
            } else {
                &mut census.daemon
            };
            users.insert(uid);
        }
        census
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::tree::{Process, Tree};
    use std::time::Duration;

    /// A machine with a service of which a test says what is in it.
    struct Machine {
        tree: Tree,
        inside: Inside,
        group: String,
        now: Stamp,
    }

    impl Machine {
        /// One whose package brought the unit.
        fn with(unit: &str) -> Self {
            let tree = Tree::new();
            tree.file(
                "/var/lib/dpkg/info/x.list",
                format!("/lib/systemd/system/{unit}\n/etc/cron.d/certbot\n"),
            );
            tree.file(&format!("/usr/lib/systemd/system/{unit}"), "");
            tree.file("/etc/cron.d/certbot", "0 3 * * * root certbot renew\n");
            let inside = Inside::new(tree.root());
            let group = format!("system.slice/{unit}");
            tree.cgroup(&group, 0, &[]);
            Self { tree, inside, group, now: Stamp::new(1_000_000, 0, 0) }
        }

        /// What is in it from now on: number, parent, user, name and arguments of each process.
        fn holds(&self, processes: &[(u32, u32, u32, &str, &str)]) {
            let pids: Vec<u32> = processes.iter().map(|(pid, ..)| *pid).collect();
            self.tree.cgroup(&self.group, 0, &pids);
            for (pid, parent, uid, name, arguments) in processes {
                let process = Process::new(*pid, name).called(arguments);
                self.tree.process(&process.with(|p| (p.ppid, p.uid) = (*parent, *uid)));
            }
        }

        fn part(&mut self, uid: u32) -> Part {
            self.now = self.now.after(Duration::from_secs(10));
            let hierarchy = Hierarchy::find(&self.tree.root()).unwrap().unwrap();
            let ownership = Ownership::new(&self.tree.root(), None, Vec::new(), Vec::new());
            let place = ownership.of(&self.group);
            self.inside.part(self.now, (&hierarchy, &ownership), place, uid).unwrap()
        }
    }

    /// Whose it is what this user does beside these processes.
    fn part(unit: &str, processes: &[(u32, u32, u32, &str, &str)], uid: u32) -> Part {
        let mut machine = Machine::with(unit);
        machine.holds(processes);
        machine.part(uid)
    }

    #[test]
    fn what_a_packages_server_starts_as_another_user_is_that_users() {
        for (unit, daemon, payload) in [
            ("rstudio-server.service", "rserver", "rsession"),
            ("xrdp-sesman.service", "xrdp-sesman", "Xorg"),
            ("slurmd.service", "slurmstepd", "python3"),
        ] {
            let both = [(5, 1, 0, daemon, daemon), (6, 5, 1000, payload, payload)];
            assert_eq!(part(unit, &both, 1000), Part::Persons, "{unit}");
            assert_eq!(part(unit, &both, 0), Part::Daemon, "{unit}");
        }
    }

    #[test]
    fn a_server_whose_only_user_looks_like_a_persons_is_a_server() {
        let alone = [(5, 1, 1001, "game", "game"), (6, 5, 1001, "game", "game")];
        assert_eq!(part("game.service", &alone, 1001), Part::Daemon);
        // An agent by its name, whoever starts it.
        let agent = [(5, 1, 0, "runuser", "runuser"), (6, 5, 1001, "node_exporter", "x")];
        assert_eq!(part("node_exporter.service", &agent, 1001), Part::Daemon);
        assert_eq!(part("game.service", &[], 1001), Part::Persons, "it ended: nobody can tell");
    }

    #[test]
    fn what_is_not_the_daemons_beside_one_that_starts_work_is_somebodys() {
        let ssm = [(5, 1, 0, "amazon-ssm-agen", "a"), (6, 5, 0, "ssm-document-wo", "d")];
        assert_eq!(part("amazon-ssm-agent.service", &ssm, 0), Part::Daemon);
        let command = [ssm.as_slice(), &[(7, 6, 0, "sh", "sh _script.sh")]].concat();
        assert_eq!(part("amazon-ssm-agent.service", &command, 0), Part::Persons);
        let runner = [(5, 1, 0, "gitlab-runner", "gitlab-runner run"), (6, 5, 998, "bash", "bash")];
        assert_eq!(part("gitlab-runner.service", &runner, 998), Part::Persons);
        assert_eq!(part("gitlab-runner.service", &runner, 0), Part::Daemon);
        let jenkins = [(5, 1, 112, "java", "java -jar jenkins.war")];
        assert_eq!(part("jenkins.service", &jenkins, 112), Part::Daemon);
        let build = [jenkins[0], (6, 5, 112, "java", "java -jar maven.jar")];
        assert_eq!(part("jenkins.service", &build, 112), Part::Persons);
    }

    #[test]
    fn an_interpreter_that_a_job_left_running_is_somebodys_although_the_daemon_is_one() {
        let unit = "codedeploy-agent.service";
        let agent = [(5, 1, 0, "ruby", "codedeploy-agent: master"), (6, 5, 0, "ruby", "poller")];
        assert_eq!(part(unit, &agent, 0), Part::Daemon);
        let left = |uid| [agent[0], agent[1], (9, 1, uid, "ruby", "bundle exec sidekiq")];
        assert_eq!(part(unit, &left(0), 0), Part::Persons);
        assert_eq!(part(unit, &left(1000), 1000), Part::Persons);
        assert_eq!(part(unit, &[(9, 1, 1000, "ruby", "sidekiq")], 1000), Part::Persons);
    }

    #[test]
    fn a_packages_job_of_cron_is_the_packages_and_any_other_is_somebodys() {
        let cron = [(5, 1, 0, "cron", "cron -f"), (6, 5, 0, "cron", "CRON -f")];
        assert_eq!(part("cron.service", &cron, 0), Part::Daemon);
        let job = |name: &'static str, arguments| [cron[0], cron[1], (7, 6, 0, name, arguments)];
        assert_eq!(part("cron.service", &job("certbot", "certbot renew"), 0), Part::Packaged);
        assert_eq!(part("cron.service", &job("etl", "/opt/etl"), 0), Part::Persons);
    }

    /// What is below crond on a machine with rpm, in the order in which it appears.
    #[test]
    fn where_the_shell_is_bash_packages_jobs_are_the_packages_too() {
        let mut machine = Machine::with("crond.service");
        machine.tree.remove("/var/lib/dpkg");
        machine.tree.file("/var/lib/rpm/rpmdb.sqlite", "\0sshd.service\0");
        machine.tree.file("/etc/cron.d/sysstat", "*/10 * * * * root /usr/lib64/sa/sa1 1 1\n");
        let crond =
            [(5, 1, 0, "crond", "/usr/sbin/crond -n"), (6, 5, 0, "crond", "/usr/sbin/CROND -n")];
        let hourly = [
            (7, 6, 0, "run-parts", "/bin/bash /bin/run-parts /etc/cron.hourly"),
            (8, 7, 0, "0anacron", "/bin/sh /etc/cron.hourly/0anacron"),
            (9, 7, 0, "awk", "awk -v progname=/etc/cron.hourly/0anacron x"),
            // It has left its parent.
            (10, 1, 0, "anacron", "/usr/sbin/anacron -s"),
            (11, 10, 0, "run-parts", "/bin/bash /bin/run-parts /etc/cron.daily"),
            (12, 11, 0, "logrotate", "/bin/sh /etc/cron.daily/logrotate"),
            (13, 12, 0, "gzip", "/bin/gzip"),
        ];
        let backup = (14, 11, 0, "backup", "/bin/sh /etc/cron.daily/backup");
        let job = |name: &'static str, line| (7, 6, 0, name, line);
        for (expected, jobs) in [
            (Part::Daemon, vec![]),
            (Part::Packaged, vec![job("sa1", "/bin/sh /usr/lib64/sa/sa1 1 1")]),
            (Part::Packaged, vec![job("sadc", "/usr/lib64/sa/sadc -F -L 1 1 /var/log/sa")]),
            (Part::Packaged, hourly.to_vec()),
            (Part::Persons, [hourly.as_slice(), &[backup]].concat()),
            (Part::Persons, vec![job("etl", "/opt/etl")]),
            (Part::Persons, vec![job("bash", "/bin/sh /opt/etl 1 1")]),
        ] {
            machine.holds(&[crond.as_slice(), &jobs].concat());
            machine.inside.refresh();
            assert_eq!(machine.part(0), expected, "{jobs:?}");
        }
    }

    #[test]
    fn a_user_who_comes_between_two_counts_is_found_at_once() {
        let mut machine = Machine::with("gitlab-runner.service");
        let mut all = vec![(5, 1, 0, "gitlab-runner", "gitlab-runner run")];
        // So many that they are counted once a minute.
        all.extend((10..400).map(|pid| (pid, 5, 0, "gitlab-runner", "gitlab-runner run")));
        machine.holds(&all);
        assert_eq!(machine.part(998), Part::Daemon);
        all.push((500, 5, 998, "bash", "bash"));
        machine.holds(&all);
        assert_eq!(machine.part(0), Part::Daemon);
        assert_eq!(machine.part(998), Part::Persons);
    }

    #[test]
    fn processes_in_groups_below_belong_to_the_service() {
        let mut machine = Machine::with("slurmd.service");
        machine.holds(&[(5, 1, 0, "slurmd", "slurmd")]);
        let below = format!("{}/step/user", machine.group);
        machine.tree.cgroup(&below, 0, &[6]);
        machine.tree.process(&Process::new(6, "python3").with(|p| p.uid = 1000));
        machine.tree.cgroup(&format!("{}/step", machine.group), 0, &[]);
        assert_eq!(machine.part(1000), Part::Persons);
    }
}
