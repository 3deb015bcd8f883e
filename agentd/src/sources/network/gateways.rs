//! Daemons of VPNs and tunnels.

/// Daemons that carry what others say: what they send and receive serves somebody, although they keep the machine.
const GATEWAYS: [&str; 11] = [
    "tailscaled",
    "wg-quick",
    "zerotier-one",
    "netbird",
    "nebula",
    "openvpn",
    "openvpn-client",
    "openvpn-server",
    "strongswan",
    "ipsec",
    "cloudflared",
];

/// Whether a group is that of a VPN's or a tunnel's daemon.
pub(super) fn carries_others(group: &str) -> bool {
    let unit = group.rsplit('/').next().unwrap_or_default();
    unit.split(['.', '@']).next().is_some_and(|stem| GATEWAYS.contains(&stem))
}
