//! The control plane of a small Kubernetes, where it runs in containers: kind, minikube and k3d have the whole node in one,
//! kubeadm has a pod for each part.
//!
//! It works all the time (kind at rest: about 0.18 core), and nobody uses it as long as no pod of anybody's does something.
//! A process is part of it by its name, and only in a container beside a kubelet, or in a group that a kubelet made: an `etcd` in a
//! session or in a container of somebody's own is work. Each part is upkeep and has its ceiling; above it, it is a server like any other.

/// What runs a node. Names are cut at 15 bytes, as the kernel has them.
const NODES: [&str; 5] = ["kubelet", "k3s", "k3s-server", "k3s-agent", "k0s"];
/// What belongs to one.
#[rustfmt::skip]
const PARTS: [&str; 33] = [
    "kubelet", "k3s", "k3s-server", "k3s-agent", "k0s", "kube-apiserver", "kube-controller", "kube-scheduler", "kube-proxy",
    "etcd", "kine", "cloud-controlle", "coredns", "kindnetd", "flanneld", "konnectivity-se", "konnectivity-ag", "metrics-server",
    "local-path-prov", "storage-provisi", "pause", "containerd", "containerd-shim", "dockerd", "cri-dockerd", "crio", "conmon",
    "runc", "runc:[2:INIT]", "systemd", "systemd-journal", "systemd-udevd", "dbus-daemon",
];
/// What only a node itself has.
const NODE_ONLY: [&str; 11] = [
    "containerd", "containerd-shim", "dockerd", "cri-dockerd", "crio", "conmon", "runc", "systemd", "systemd-journal",
    "systemd-udevd", "dbus-daemon",
];
/// Groups that a kubelet makes begin so.
const PODS: [&str; 2] = ["kubepods", "kubelet-kubepods"];

/// Whether a process of this name runs a node.
pub(super) fn runs_node(name: &[u8]) -> bool {
    NODES.iter().any(|node| node.as_bytes() == name)
}

/// The part of a control plane that has this name, in the group of a node or in that of its pods. In a pod a daemon of containers is
/// somebody's.
pub(super) fn part(name: &[u8], group: &str) -> Option<&'static str> {
    let found = PARTS.iter().find(|part| part.as_bytes() == name).copied()?;
    let of_node = NODE_ONLY.contains(&found) && has_pods(group);
    (!of_node).then_some(found)
}

/// Whether a kubelet made this group at the top, for pods.
pub(super) fn has_pods(path: &str) -> bool {
    PODS.iter().any(|start| path.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_as_the_kernel_cuts_them_and_none_stands_twice() {
        let mut names = PARTS.to_vec();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), PARTS.len());
        assert!(names.iter().all(|name| name.len() <= 15), "{names:?}");
        assert!(NODES.iter().all(|node| PARTS.contains(node)));
    }

    #[test]
    fn parts_are_known_and_what_somebody_runs_is_not() {
        let node = "system.slice/docker-1.scope";
        for name in ["etcd", "kube-controller", "dockerd"] {
            assert_eq!(part(name.as_bytes(), node), Some(name));
        }
        for name in ["python3", "etcd2", ""] {
            assert_eq!(part(name.as_bytes(), node), None);
        }
        assert_eq!(part(b"dockerd", "kubepods.slice"), None);
        assert!(runs_node(b"kubelet") && !runs_node(b"etcd"));
        assert!(has_pods("kubepods.slice") && !has_pods("ml.slice"));
    }
}
