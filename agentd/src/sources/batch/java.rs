//! Build agents that run on Java: Jenkins and `TeamCity`. All of them are called `java`, so the command line tells.
//!
//! - An agent of Jenkins is `java -jar agent.jar` (`remoting.jar`, `slave.jar`, `swarm-client.jar`, or the class
//!   `hudson.remoting.…`). What it started is a build. A step `sh` of a pipeline leaves its parent: it is a shell that keeps its
//!   script in `…@tmp/durable-…` (plugin durable-task), also on the controller's own node (`jenkins.war`).
//! - `TeamCity` has two: the launcher, whose child the agent proper is (`JetBrains`, "Configuring Build Agent Startup Properties":
//!   `jetbrains.buildServer.agent.Launcher` and `…AgentMain`). What the second started is a build.
//!
//! Each command line is read once; they are long, so at most its beginning is.

use std::collections::{BTreeMap, HashMap};

use crate::host::HostError;
use crate::host::process::{self, ProcessStat, Processes};

/// A process whose command line tells what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Machine {
    pid: u32,
    ppid: u32,
    start: u64,
}

impl Machine {
    /// The process of a walk.
    pub(super) fn of(stat: &ProcessStat<'_>) -> Self {
        Self { pid: stat.pid, ppid: stat.ppid, start: stat.start }
    }
}

/// What a process of Java is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// An agent of Jenkins: its children are builds.
    Jenkins,
    /// The controller of Jenkins. Its children are not all builds (it asks repositories for news), its scripts are.
    Controller,
    /// `TeamCity`'s launcher: its child of Java is the agent.
    Launcher,
    /// `TeamCity`'s agent: its children are builds.
    TeamCity,
    Other,
}

/// The archives of Jenkins' agents.
const ARCHIVES: [&str; 5] =
    ["agent.jar", "remoting.jar", "slave.jar", "swarm-client.jar", "jnlp-agent.jar"];
/// How a script of a pipeline is kept.
const DURABLE: &str = "@tmp/durable-";

fn kind(arguments: &[&[u8]]) -> Kind {
    let words = || arguments.iter().map(|word| String::from_utf8_lossy(word));
    let base = |word: &str| word.rsplit('/').next().unwrap_or_default().to_owned();
    if words().any(|word| word == "jetbrains.buildServer.agent.Launcher") {
        return Kind::Launcher;
    }
    if words().any(|word| word == "jetbrains.buildServer.agent.AgentMain") {
        return Kind::TeamCity;
    }
    let archive = words().skip_while(|word| word != "-jar").nth(1).map(|word| base(&word));
    match archive.as_deref() {
        Some("jenkins.war") => Kind::Controller,
        Some(name) if ARCHIVES.contains(&name) || name.starts_with("swarm-client") => Kind::Jenkins,
        _ if words().skip(1).any(|word| word.starts_with("hudson.remoting.")) => Kind::Jenkins,
        _ => Kind::Other,
    }
}

/// What is known of processes of Java, so that each command line is read once.
#[derive(Debug, Default)]
pub(super) struct Agents {
    known: HashMap<u32, (u64, Kind)>,
    controller: bool,
    buffer: Vec<u8>,
}

impl Agents {
    /// The agents among processes of Java, and what their children are said to be of.
    pub(super) fn among(
        &mut self,
        processes: &Processes,
        java: &[Machine],
    ) -> Result<BTreeMap<u32, &'static str>, HostError> {
        self.known.retain(|pid, _| java.iter().any(|machine| machine.pid == *pid));
        for machine in java {
            let same = self.known.get(&machine.pid).is_some_and(|(start, _)| *start == machine.start);
            if !same {
                processes.arguments(machine.pid, &mut self.buffer)?;
                let kind = kind(&process::words(&self.buffer));
                self.known.insert(machine.pid, (machine.start, kind));
            }
        }
        let is = |pid: u32, kind: Kind| self.known.get(&pid).is_some_and(|(_, it)| *it == kind);
        self.controller = self.known.values().any(|(_, kind)| *kind == Kind::Controller);
        let agents = java.iter().filter_map(|machine| {
            // The list of its libraries may be longer than what is read of the command line.
            let launched = is(machine.ppid, Kind::Launcher) && !is(machine.pid, Kind::Launcher);
            if launched || is(machine.pid, Kind::TeamCity) {
                Some((machine.pid, "TeamCity"))
            } else {
                is(machine.pid, Kind::Jenkins).then_some((machine.pid, "Jenkins"))
            }
        });
        Ok(agents.collect())
    }

    /// The shells that run a script of a pipeline of Jenkins. They are looked at only where Jenkins is.
    pub(super) fn scripts(
        &mut self,
        processes: &Processes,
        agents: &BTreeMap<u32, &'static str>,
        shells: &[Machine],
    ) -> Result<Vec<u32>, HostError> {
        let mut found = Vec::new();
        if !self.controller && !agents.values().any(|name| *name == "Jenkins") {
            return Ok(found);
        }
        for shell in shells {
            processes.arguments(shell.pid, &mut self.buffer)?;
            let text = String::from_utf8_lossy(&self.buffer);
            if text.contains(DURABLE) {
                found.push(shell.pid);
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agents_are_told_by_their_command_lines() {
        for (line, expected) in [
            ("java -jar /home/jenkins/agent.jar -url https://ci/ -name a", Kind::Jenkins),
            ("/usr/bin/java -Xmx1g -jar remoting/remoting.jar -workDir /j", Kind::Jenkins),
            ("java -jar slave.jar", Kind::Jenkins),
            ("java -jar /opt/swarm-client-3.47.jar -name x", Kind::Jenkins),
            ("java -cp /usr/share/jenkins/agent.jar hudson.remoting.jnlp.Main -headless", Kind::Jenkins),
            ("/usr/bin/java -Djava.awt.headless=true -jar /usr/share/java/jenkins.war --httpPort=8080", Kind::Controller),
            (
                "java -cp launcher.jar jetbrains.buildServer.agent.Launcher -ea jetbrains.buildServer.agent.AgentMain -file x",
                Kind::Launcher,
            ),
            ("java -classpath a.jar:b.jar jetbrains.buildServer.agent.AgentMain -file x", Kind::TeamCity),
            ("java -jar /srv/app.jar agent.jar", Kind::Other),
            ("java -cp /srv/hudson.remoting.jar com.example.Main", Kind::Other),
            ("java", Kind::Other),
        ] {
            let words: Vec<_> = line.split(' ').map(str::as_bytes).collect();
            assert_eq!(kind(&words), expected, "{line}");
        }
    }
}
