//! What cures a fault that would otherwise last for ever: told by `status` and `doctor` beside the fault.

/// A sign in the text of a fault, and what cures it.
const CURES: &[(&str, &str)] = &[
    (
        "hidepid",
        "mount /proc without hidepid= (mount -o remount,hidepid=0 /proc, and the same in /etc/fstab), or with gid= of a group that \
         SupplementaryGroups= names in a drop-in of agentd.service; then: systemctl restart agentd",
    ),
    (
        "NVML",
        "see what nvidia-smi says; install the driver of the running kernel again or reboot; where nobody uses the GPU, set \
         [source.gpu] enabled = false",
    ),
    (
        "container",
        "run agentd on the machine itself: in a container the totals are another machine's",
    ),
    (
        "another machine's",
        "run agentd on the machine itself: in a container the totals are another machine's",
    ),
];

/// What closes the account of a source, by the word with which it begins, where the fault itself names nothing.
const OF_ACCOUNTS: &[(&str, &str)] = &[
    (
        "CPU",
        "a kernel with CONFIG_SCHEDSTATS=y (/proc/schedstat), and systemd's unified control groups \
         (systemd.unified_cgroup_hierarchy=1)",
    ),
    (
        "network",
        "a kernel with CONFIG_INET_DIAG_DESTROY=y tells of connections that end; until then a service whose traffic must count \
         is named in [source.network] units",
    ),
    (
        "disk",
        "systemd's unified control groups with IOAccounting=yes for system.slice: systemctl set-property system.slice IOAccounting=yes",
    ),
];

/// What cures a fault, if that is known.
pub(crate) fn of_fault(fault: &str) -> Option<&'static str> {
    CURES.iter().find(|(sign, _)| fault.contains(sign)).map(|(_, cure)| *cure)
}

/// What closes an account that cannot be closed because of `fault`.
pub(crate) fn of_account(account: &str, fault: &str) -> Option<&'static str> {
    of_fault(fault).or_else(|| {
        OF_ACCOUNTS.iter().find(|(of, _)| account.starts_with(of)).map(|(_, cure)| *cure)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_that_lasts_has_its_cure() {
        let cure = |fault| of_fault(fault).unwrap();
        assert!(
            cure("/proc: it hides other users' processes (hidepid=)").contains("remount,hidepid=0")
        );
        assert!(cure("failed to start NVML: driver not loaded").contains("nvidia-smi"));
        assert_eq!(of_fault("input/output error"), None);
    }

    #[test]
    fn each_account_has_its_cure_and_a_container_another() {
        for account in ["CPU time", "network", "disk traffic"] {
            assert!(of_account(account, "it is not known").is_some(), "{account}");
            let cure = of_account(account, "the disks are another machine's, as in a container");
            assert!(cure.unwrap().contains("on the machine itself"), "{account}");
        }
    }
}
