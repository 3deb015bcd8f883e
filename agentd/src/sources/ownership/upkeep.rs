//! What keeps a machine: units and programs that run on every machine for its own sake or for its administrators'.
//!
//! It is a list of names, not a place: what else lies in `system.slice` is somebody's. A name here makes nothing invisible:
//! above a ceiling it counts as a server, and what such a daemon starts for people is found by process
//! ([`starts_work`]).
//!
//! Names come from the packages of Debian, Ubuntu, Amazon Linux and Fedora and from the vendors' documentation. Each is one that
//! a person would not give to a job.

/// Units by the name before `.service` and before the `@` of an instance.
#[rustfmt::skip]
const UNITS: &[&str] = &[
    // systemd's own.
    "systemd-journald", "systemd-logind", "systemd-resolved", "systemd-networkd", "systemd-timesyncd",
    "systemd-udevd", "systemd-oomd", "systemd-userdbd", "systemd-machined", "systemd-homed", "systemd-hostnamed",
    "systemd-localed", "systemd-timedated", "systemd-importd", "systemd-portabled", "systemd-journal-flush",
    "systemd-journal-upload", "systemd-journal-remote", "systemd-coredump", "systemd-fsck", "systemd-fsck-root",
    "systemd-hibernate", "systemd-suspend", "systemd-tmpfiles-clean", "systemd-tmpfiles-setup",
    "systemd-random-seed", "systemd-update-utmp", "systemd-user-sessions", "systemd-sysext",
    "systemd-ask-password-console", "systemd-ask-password-wall", "systemd-nsresourced", "systemd-mountfsd",
    "systemd-networkd-wait-online", "systemd-modules-load", "systemd-sysctl", "systemd-binfmt", "systemd-growfs",
    "systemd-makefs", "systemd-pstore", "systemd-quotacheck", "systemd-rfkill", "systemd-remount-fs",
    "systemd-sysusers", "systemd-udev-trigger", "systemd-udev-settle", "systemd-update-done",
    "systemd-vconsole-setup", "systemd-hwdb-update", "systemd-firstboot", "systemd-boot-update", "systemd-bsod",
    "systemd-machine-id-commit", "systemd-backlight", "user-runtime-dir", "getty", "serial-getty",
    "console-getty", "container-getty", "autovt", "emergency", "rescue", "initrd-switch-root", "modprobe",
    "kmod-static-nodes", "ldconfig", "quotaon",
    // Buses, log-ins, names.
    "dbus", "dbus-broker", "polkit", "ssh", "sshd", "ssh.socket", "sshd.socket", "ssh-keygen", "sshd-keygen",
    "rsync-ssh", "sssd", "nscd", "nslcd", "unscd", "gssproxy", "oddjobd", "rpcbind", "rpc-statd", "rpc-gssd",
    "nfs-idmapd", "nfsdcld", "nfs-blkmap", "accounts-daemon", "rtkit-daemon", "colord", "upower", "geoclue",
    "switcheroo-control", "power-profiles-daemon", "bluetooth", "avahi-daemon", "ModemManager", "NetworkManager",
    "NetworkManager-dispatcher", "NetworkManager-wait-online", "wpa_supplicant", "networking",
    "networkd-dispatcher", "dhclient", "dhcpcd", "ifup", "resolvconf", "keyboard-setup", "console-setup",
    "plymouth-start", "plymouth-quit", "plymouth-quit-wait", "setvtrgb", "gpm", "kbd", "firewalld", "nftables",
    "iptables", "ip6tables", "ufw", "apparmor", "selinux-autorelabel", "fail2ban", "sshguard", "crowdsec",
    "denyhosts",
    // Time, hardware, storage.
    "chrony", "chronyd", "ntp", "ntpd", "ntpsec", "openntpd", "ptp4l", "phc2sys", "irqbalance", "rngd",
    "rng-tools-debian", "haveged", "acpid", "tuned", "thermald", "cpupower", "lvm2-monitor", "lvm2-lvmpolld",
    "lvm2-pvscan", "dm-event", "multipathd", "blk-availability", "mdadm", "mdmonitor", "mdcheck_continue",
    "mdcheck_start", "mdmonitor-oneshot", "smartd", "smartmontools", "udisks2", "fstrim", "e2scrub",
    "e2scrub_all", "e2scrub_reap", "xfs_scrub_all", "btrfs-scrub", "zfs-zed", "zfs-mount", "zfs-share",
    "zfs-import-cache", "fwupd", "fwupd-refresh", "mcelog", "rasdaemon", "edac", "kdump", "kdump-tools",
    "sysfsutils", "lm-sensors", "open-vm-tools", "vgauth", "qemu-guest-agent", "hv-kvp-daemon", "iscsid",
    "open-iscsi", "nvmf-autoconnect", "zramswap", "nvidia-persistenced", "nvidia-fabricmanager", "nvidia-dcgm",
    "dcgm", "nvidia-imex", "nvidia-powerd",
    // Logs, audit, cron.
    "rsyslog", "syslog-ng", "syslog", "auditd", "audit-rules", "klogd", "cron", "crond", "cronie", "anacron",
    "atd", "fcron", "bcron", "logrotate", "man-db", "man-db-cache-update", "man-db-restart-cache-update",
    "sysstat", "sysstat-collect", "sysstat-summary", "sysstat-rotate", "acct", "psacct", "atop", "atopacct",
    "plocate-updatedb", "mlocate-updatedb", "updatedb", "dpkg-db-backup", "exim4-base", "logwatch", "aide-check",
    "dailyaidecheck", "rkhunter", "chkrootkit", "debsums", "lynis", "apt-show-versions", "popularity-contest",
    "needrestart",
    // Package upkeep.
    "apt-daily", "apt-daily-upgrade", "unattended-upgrades", "packagekit", "packagekit-offline-update",
    "dnf-makecache", "dnf-automatic", "dnf-automatic-install", "dnf-system-upgrade", "yum-cron",
    "update-notifier-download", "update-notifier-motd", "motd-news", "motd", "update-motd", "apt-news",
    "esm-cache", "ua-timer", "ua-auto-attach", "ubuntu-advantage", "pro-upgrade", "apport", "apport-autoreport",
    "whoopsie", "kerneloops", "abrtd", "abrt-journal-core", "landscape-client", "snapd", "snapd.seeded",
    "snapd.apparmor", "snapd.autoimport", "snapd.core-fixup", "snapd.recovery-chooser-trigger",
    "snapd.system-shutdown", "snap.canonical-livepatch.canonical-livepatchd", "snap.lxd.activate", "livepatch",
    "kpatch", "fwupd-offline-update", "microcode", "gpu-manager", "secureboot-db", "grub-common",
    "grub-initrd-fallback", "finalrd", "pollinate",
    // cloud-init but for its stages, whose children are people's.
    "cloud-init-hotplugd", "cloud-init-hotplug",
    // EC2 and its agents.
    "amazon-ssm-agent", "snap.amazon-ssm-agent.amazon-ssm-agent", "amazon-cloudwatch-agent",
    "cwagent-otel-collector", "awslogsd", "awslogs", "xray", "codedeploy-agent", "amazon-guardduty-agent",
    "awsagent", "amazon-inspector", "ecs", "amazon-ecs-volume-plugin", "aws-cfn-hup", "cfn-hup", "hibinit-agent",
    "ec2-hibinit-agent", "ec2-instance-connect", "ec2-instance-connect-harvest-hostkeys", "policy-routes",
    "refresh-policy-routes", "amazon-ec2-net-utils", "ec2net-scan", "ec2net-ifup", "amazon-ebs-autoscale",
    "efs-utils", "amazon-efs-mount-watchdog", "update-kpatch", "amazon-linux-extras", "nitro-enclaves-allocator",
    "libstoragemgmt", "elasticbeanstalk-healthd", "healthd",
    // Monitoring, logs and metrics of vendors.
    "datadog-agent", "datadog-agent-trace", "datadog-agent-process", "datadog-agent-sysprobe",
    "datadog-agent-security", "datadog-agent-installer", "newrelic-infra", "telegraf", "collectd", "fluent-bit",
    "td-agent", "td-agent-bit", "fluentd", "vector", "promtail", "alloy", "grafana-agent", "otelcol",
    "otelcol-contrib", "opentelemetry-collector", "splunk", "SplunkForwarder", "splunk-otel-collector",
    "node_exporter", "node-exporter", "prometheus-node-exporter", "process-exporter", "process_exporter",
    "blackbox_exporter", "systemd_exporter", "cadvisor", "dcgm-exporter", "dcgm_exporter", "nvidia_gpu_exporter",
    "nvidia-smi-exporter", "zabbix-agent", "zabbix-agent2", "nagios-nrpe-server", "nrpe", "check-mk-agent",
    "cmk-agent-ctl-daemon", "icinga2", "munin-node", "netdata", "netdata-updater", "monit", "snmpd",
    "elastic-agent", "filebeat", "metricbeat", "auditbeat", "heartbeat-elastic", "packetbeat", "journalbeat",
    "dynatraceoneagent", "oneagent", "appdynamics-machine-agent", "instana-agent", "scoutd", "do-agent",
    "beszel-agent", "pcp", "pmcd", "pmlogger", "pmie", "pmproxy", "glances", "sysdig", "falco",
    "falco-modern-bpf", "parca-agent", "pyroscope",
    // Security.
    "falcon-sensor", "mdatp", "mde_netfilter", "sentinelone", "sentinelagent", "ds_agent", "cbagentd", "cbdaemon",
    "cyserver", "qualys-cloud-agent", "nessusagent", "wazuh-agent", "ossec", "osqueryd", "orbit",
    "clamav-freshclam", "clamav-daemon", "clamonacc", "rapid7", "ir_agent", "tmxbc", "sav-protect", "sophos-spl",
    "xagt", "traps_pmd", "lacework", "datacollector", "threatstack", "tripwire", "samhain", "usbguard",
    "fapolicyd", "teleport", "cloudflared", "twingate",
    // Management.
    "puppet", "chef-client", "salt-minion", "cfengine3", "rundeckd-agent", "rudder-agent", "ansible-pull-agent",
    "uuidd", "fleet-agent", "mackerel-agent", "agentd",
    // Containers, networks of machines, small Kubernetes.
    "docker", "docker.socket", "containerd", "podman", "podman-auto-update", "podman-clean-transient",
    "podman-restart", "crio", "buildkit", "lxc", "lxcfs", "lxc-net", "lxc-monitord", "lxd", "lxd-agent",
    "snap.lxd.daemon", "incus", "libvirtd", "libvirt-guests", "virtlogd", "virtlockd", "virtqemud", "k3s",
    "k3s-agent", "rke2-server", "rke2-agent", "kubelet", "snap.microk8s.daemon-kubelite",
    "snap.microk8s.daemon-k8s-dqlite", "snap.microk8s.daemon-containerd", "snap.microk8s.daemon-cluster-agent",
    "snap.microk8s.daemon-apiserver-kicker", "k0scontroller", "k0sworker", "tailscaled", "wg-quick",
    "zerotier-one", "netbird", "nebula", "openvpn", "openvpn-client", "openvpn-server", "strongswan", "ipsec",
    "nordvpnd",
];

/// Names of these that are words which people give to programs and units of their own (Xray-core is a proxy, `tuned` a model): only
/// a package's are upkeep.
const WORDS: &str = "alloy datacollector ds_agent ecs esm-cache fleet-agent gpu-manager healthd nebula orbit tuned \
     updatedb vector xray";

/// Programs of agents that are installed by hand under any name of a unit.
#[rustfmt::skip]
const PROGRAMS: &[&str] = &[
    "node_exporter", "prometheus-node-exporter", "process-exporter", "blackbox_exporter", "dcgm-exporter",
    "cadvisor", "amazon-cloudwatch-agent", "amazon-ssm-agent", "telegraf", "collectd", "fluent-bit", "promtail",
    "alloy", "otelcol", "otelcol-contrib", "newrelic-infra", "falcond", "falcon-sensor", "qualys-cloud-agent",
    "zabbix_agentd", "zabbix_agent2", "netdata", "osqueryd", "tailscaled", "vector", "filebeat", "metricbeat",
    "elastic-agent", "beszel-agent",
];

/// Daemons that start other people's work: the unit, and the names of the daemon's own processes. Names are cut at 15
/// bytes, as the kernel has them.
const STARTERS: &[(&str, &[&str])] = &[
    // Nobody but the first process belongs there.
    ("init.scope", &["systemd", "init"]),
    ("ssh", SSHD),
    ("sshd", SSHD),
    ("cron", &["cron", "CRON"]),
    ("crond", &["crond", "CROND"]),
    ("cronie", &["crond", "CROND"]),
    ("anacron", &["anacron"]),
    ("fcron", &["fcron"]),
    ("bcron-sched", &["bcron-sched", "bcron-exec", "bcron-spool"]),
    ("mcron", &["mcron"]),
    ("incron", &["incrond"]),
    ("incrond", &["incrond"]),
    ("atd", &["atd"]),
    // Without pam_systemd the shell of a console stays in the group of its getty.
    ("getty", GETTY),
    ("serial-getty", GETTY),
    ("console-getty", GETTY),
    ("container-getty", GETTY),
    ("autovt", GETTY),
    ("amazon-ssm-agent", SSM),
    ("snap.amazon-ssm-agent.amazon-ssm-agent", SSM),
    // Hooks of a deployment start the application.
    ("codedeploy-agent", &["codedeploy-agen", "ruby"]),
    ("cfn-hup", &["cfn-hup"]),
    ("aws-cfn-hup", &["cfn-hup"]),
    ("salt-minion", &["salt-minion"]),
    // Supervisors of people's programs.
    ("monit", &["monit"]),
    ("supervisor", &["supervisord"]),
    ("supervisord", &["supervisord"]),
    ("runit", &["runsvdir", "runsv", "svlogd", "runit"]),
    ("runsvdir", &["runsvdir", "runsv", "svlogd"]),
    ("s6-svscan", &["s6-svscan", "s6-supervise", "s6-log"]),
    ("s6", &["s6-svscan", "s6-supervise", "s6-log"]),
    ("daemontools", &["svscan", "svscanboot", "supervise", "multilog", "readproctitle"]),
    ("tailscaled", &["tailscaled"]),
    ("teleport", &["teleport"]),
    ("docker", CONTAINERS),
    ("containerd", CONTAINERS),
    ("crio", CONTAINERS),
    // A build by its interface runs in the group of the service itself.
    ("podman", CONTAINERS),
    // A virtual machine is a process of the daemon's group.
    ("incus", MACHINES),
    ("lxd", MACHINES),
    ("snap.lxd.daemon", MACHINES),
    ("gitlab-runner", &["gitlab-runner"]),
    ("buildkite-agent", &["buildkite-agent"]),
    ("circleci-runner", &["circleci-runner", "circleci-launch"]),
    // The controller or agent is one process (see `is_one_process`); what it starts is a build.
    ("jenkins", &["java"]),
    ("go-agent", &["java"]),
    ("rundeckd", &["java"]),
];
/// The same for units whose names begin so: runners of builds name theirs after the repository.
const STARTER_FAMILIES: &[(&str, &[&str])] = &[
    ("actions.runner.", &["runsvc.sh", "node", "Runner.Listener", "RunnerService.j"]),
    ("vsts.agent.", &["runsvc.sh", "node", "Agent.Listener"]),
];
/// What these daemons start for themselves; a container that was left in their group is somebody's.
const CONTAINERS: &[&str] = &[
    "dockerd",
    "containerd",
    "containerd-shim",
    "docker-proxy",
    "docker-init",
    "runc",
    "crun",
    "runc:[1:CHILD]",
    "runc:[2:INIT]",
    "crio",
    "conmon",
    "ctr",
    "exe",
    "podman",
    "netavark",
    "aardvark-dns",
    "catatonit",
];
/// The same of managers of virtual machines and system containers.
const MACHINES: &[&str] =
    &["incusd", "incus", "lxd", "daemon.start", "lxcfs", "dnsmasq", "forkdns", "apparmor_parser"];
const GETTY: &[&str] = &["agetty", "getty", "mingetty", "login"];
const SSHD: &[&str] = &["sshd", "sshd-session", "sshd-auth"];
const SSM: &[&str] = &[
    "amazon-ssm-agen",
    "ssm-agent-worke",
    "ssm-document-wo",
    "ssm-session-wor",
    "ssm-session-log",
    "ssm-setup-cli",
    "updater",
];

/// The name of a unit as the lists have it.
pub(super) fn stem(unit: &str) -> &str {
    let stem = unit.strip_suffix(".service").unwrap_or(unit);
    stem.split('@').next().unwrap_or(stem)
}

/// Whether a unit of this name, which starts the program of this path, keeps the machine.
pub(super) fn keeps(unit: &str, program: &str) -> bool {
    UNITS.contains(&stem(unit)) || PROGRAMS.contains(&base(program))
}

/// The same for a unit that no package brought. Somebody's own unit may have the name of an agent's: then the program is another one,
/// or it lies in a home.
pub(super) fn keeps_by_hand(unit: &str, program: &str) -> bool {
    let stem = stem(unit);
    let family = stem.split(['-', '.', '_']).next().unwrap_or(stem);
    let named = UNITS.contains(&stem)
        && program.to_ascii_lowercase().contains(&family.to_ascii_lowercase());
    let homes = ["/home/", "/root/", "/srv/", "/mnt/", "/data/", "/tmp/"];
    let is_word = |name: &str| WORDS.split(' ').any(|word| word == name);
    (named || PROGRAMS.contains(&base(program)))
        && !is_word(stem)
        && !is_word(base(program))
        && !homes.iter().any(|home| program.starts_with(home))
}

/// Whether all that runs as its user in a unit of this name is the agent's. One that is known by its program is told by that.
pub(super) fn has_its_user(unit: &str) -> bool {
    UNITS.contains(&stem(unit)) && !PROGRAMS.contains(&stem(unit))
}

fn base(program: &str) -> &str {
    program.rsplit('/').next().unwrap_or_default()
}

/// Whether a program of this name is an agent's that keeps the machine, under whatever unit it runs. `name` may be cut as
/// the kernel cuts it.
pub(in crate::sources) fn is_agent(name: &str) -> bool {
    let cut = |program: &&str| program.get(..15).unwrap_or(program) == name || **program == *name;
    PROGRAMS.iter().any(cut)
}

/// For a daemon that starts other people's work, the names of its own processes: everything else in its group is
/// somebody's.
pub(in crate::sources) fn starts_work(unit: &str) -> Option<&'static [&'static str]> {
    let stem = stem(unit);
    let one = STARTERS.iter().find(|(name, _)| *name == stem);
    let family = || STARTER_FAMILIES.iter().find(|(start, _)| unit.starts_with(start));
    one.or_else(family).map(|(_, own)| *own)
}

/// Whether the children of such a daemon that nobody met may be its own: what serves a login, or what makes a container. The
/// others start jobs and nothing else.
pub(in crate::sources) fn has_children_of_its_own(unit: &str) -> bool {
    const OWN: [&str; 11] = [
        "ssh",
        "sshd",
        "tailscaled",
        "teleport",
        "docker",
        "containerd",
        "crio",
        "podman",
        "incus",
        "lxd",
        "snap.lxd.daemon",
    ];
    OWN.contains(&stem(unit))
}

/// Whether the daemon of such a unit is one process, so that a child of it by the same name is a job already.
pub(super) fn is_one_process(unit: &str) -> bool {
    ["jenkins", "go-agent", "rundeckd"].contains(&stem(unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_stands_twice_and_each_is_one_of_a_unit() {
        let mut names: Vec<&str> = UNITS.to_vec();
        names.sort_unstable();
        for pair in names.windows(2) {
            assert_ne!(pair[0], pair[1]);
        }
        let legal = |c: char| c.is_ascii_alphanumeric() || ":-_.".contains(c);
        assert!(names.iter().all(|name| !name.is_empty() && name.chars().all(legal)));
    }

    #[test]
    fn names_of_processes_are_as_the_kernel_cuts_them() {
        for (unit, own) in STARTERS.iter().chain(STARTER_FAMILIES) {
            assert!(own.iter().all(|name| name.len() <= 15), "{unit}");
        }
        assert!(is_agent("amazon-cloudwat") && is_agent("node_exporter") && !is_agent("node"));
    }

    #[test]
    fn a_unit_of_somebodys_is_not_upkeep_for_a_name_that_people_give() {
        for (unit, program) in [
            ("xray.service", "/usr/local/bin/xray"),
            ("datacollector.service", "/opt/datacollector/run"),
            ("tuned.service", "/opt/tuned/serve"),
            ("search.service", "/opt/search/bin/vector"),
        ] {
            assert!(!keeps_by_hand(unit, program), "{unit}");
            assert!(keeps(unit, program), "{unit} of a package");
        }
        assert!(keeps_by_hand("node_exporter.service", "/usr/local/bin/node_exporter"));
        assert!(keeps_by_hand("netdata.service", "/opt/netdata/bin/netdata"));
        assert!(WORDS.split(' ').all(|word| UNITS.contains(&word) || PROGRAMS.contains(&word)));
    }

    #[test]
    fn instances_and_programs_are_known_and_servers_are_not() {
        for (unit, program) in [
            ("cron.service", ""),
            ("getty@tty1.service", "agetty"),
            ("wg-quick@wg0.service", "wg-quick"),
            ("metrics.service", "node_exporter"),
        ] {
            assert!(keeps(unit, program), "{unit}");
        }
        for unit in [
            "postgresql.service",
            "nginx.service",
            "jenkins.service",
            "train.service",
            "rsync.service",
            "slurmd.service",
            "systemd-train.service",
            "cloud-final.service",
            "rc-local.service",
            "plexmediaserver.service",
        ] {
            assert!(!keeps(unit, "python3"), "{unit}");
        }
    }
}
