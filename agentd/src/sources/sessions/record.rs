//! A process as a look at all of them sees it: what names it, and what its name says that it is.

/// Names a process for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Id {
    /// Its pid.
    pub(super) pid: u32,
    /// When it started.
    pub(super) start: u64,
}

/// What a process is, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Other,
    Sshd,
    TmuxServer,
    TmuxClient,
    Screen,
    Zellij,
    Mosh,
    SsmSession,
    SsmCommand,
    /// Tailscale's daemon, which is an SSH server, too.
    Tailscale,
    Runtime,
    Console,
    /// What shows a desktop, or keeps one for its user.
    Desktop,
    /// A manager of units, the first process or a user's, and what runs user-data.
    Starter,
    /// A daemon that starts jobs when they are due.
    Schedule,
    Ide(&'static str),
}

/// A process as it was seen in a look at all of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record {
    /// Its pid.
    pub(super) pid: u32,
    /// Its parent's.
    pub(super) ppid: u32,
    /// Its session, by the leader's pid.
    pub(super) session: u32,
    /// Its controlling terminal, 0 for none.
    pub(super) tty: u32,
    /// When it started, in clock ticks since boot.
    pub(super) start: u64,
    /// Its name, filled up with zeros.
    pub(super) comm: [u8; 16],
    /// What it is.
    pub(super) role: Role,
}

impl Record {
    /// What names it for ever.
    pub(super) fn id(&self) -> Id {
        Id { pid: self.pid, start: self.start }
    }

    /// Its name.
    pub(super) fn name(&self) -> String {
        let end = self.comm.iter().position(|byte| *byte == 0).unwrap_or(self.comm.len());
        String::from_utf8_lossy(self.comm.get(..end).unwrap_or_default()).into_owned()
    }
}

/// Where a process is among those that are sorted by pid.
pub(super) fn find(records: &[Record], pid: u32) -> Option<usize> {
    records.binary_search_by_key(&pid, |record| record.pid).ok()
}

/// What a process of this name is.
pub(super) fn role(comm: &[u8]) -> Role {
    match comm {
        b"sshd" | b"sshd-session" => Role::Sshd,
        b"tmux: server" => Role::TmuxServer,
        b"tmux: client" => Role::TmuxClient,
        b"screen" | b"SCREEN" => Role::Screen,
        b"zellij" => Role::Zellij,
        b"mosh-server" => Role::Mosh,
        b"login" => Role::Console,
        b"tailscaled" => Role::Tailscale,
        b"conmon" | b"lxc-start" | b"systemd-nspawn" | b"runc" | b"crun" => Role::Runtime,
        b"systemd" | b"cloud-init" => Role::Starter,
        b"cron" | b"CRON" | b"crond" | b"CROND" | b"anacron" | b"atd" => Role::Schedule,
        b"Xvnc" | b"Xtigervnc" | b"Xtightvnc" | b"Xdcv" | b"Xorg" | b"Xwayland" | b"gnome-shell"
        | b"gnome-session-b" | b"xfce4-session" | b"mate-session" | b"cinnamon-sessio"
        | b"lxsession" | b"lxqt-session" | b"plasmashell" | b"startplasma-x11"
        | b"startplasma-way" | b"sway" | b"Hyprland" | b"i3" | b"gdm-session-wor" | b"lightdm"
        | b"sddm-helper" | b"xrdp-sesman" | b"xrdp-chansrv" => Role::Desktop,
        // Names are cut at 15 bytes.
        _ if comm.starts_with(b"ssm-session-wor") => Role::SsmSession,
        _ if comm.starts_with(b"ssm-document-wo") => Role::SsmCommand,
        _ if comm.starts_with(b"containerd-shim") => Role::Runtime,
        _ => Role::Other,
    }
}
