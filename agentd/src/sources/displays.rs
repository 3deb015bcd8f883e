//! Programs that only show something: `htop`, `watch nvidia-smi`, `nvitop`. What they use themselves is nobody's work, and who left
//! one open waits for nothing.
//!
//! They are told by their names. Many are scripts (`python3 /usr/local/bin/nvitop`, `python3 -m glances`, `bash bashtop`), so the
//! script's or the module's name is compared too. A program that shows *and* works, such as a file manager that copies, is no
//! display here.

use crate::host::process::ProcessStat;

/// Programs that only show.
const DISPLAYS: [&str; 58] = [
    "top",
    "htop",
    "btop",
    "btop++",
    "atop",
    "btm",
    "bottom",
    "gtop",
    "gotop",
    "bpytop",
    "bashtop",
    "glances",
    "zenith",
    "nvtop",
    "nvitop",
    "gpustat",
    "nvidia-smi",
    "nvidia-htop",
    "rocm-smi",
    "amdgpu_top",
    "radeontop",
    "neuron-top",
    "neuron-monitor",
    "iotop",
    "iotop-c",
    "iftop",
    "nethogs",
    "bmon",
    "nload",
    "bwm-ng",
    "powertop",
    "slabtop",
    "ctop",
    "s-tui",
    "watch",
    "viddy",
    "hwatch",
    "tail",
    "multitail",
    "lnav",
    "vmstat",
    "iostat",
    "mpstat",
    "pidstat",
    "sar",
    "dstat",
    "dool",
    "journalctl",
    "dmesg",
    "ping",
    "mtr",
    "cmatrix",
    "speedometer",
    "bandwhich",
    "nmon",
    "below",
    "k9s",
    "lazydocker",
];
/// Those that are modules of Python, by the names of the modules. Somebody's own module may be called `watch`.
const MODULES: [&str; 7] =
    ["glances", "nvitop", "gpustat", "bpytop", "s_tui", "dool", "nvidia_htop"];
/// Clients of daemons that show what those do (`docker stats`). They do nothing themselves.
const CLIENTS: [&str; 4] = ["docker", "podman", "nerdctl", "kubectl"];

/// What runs scripts. Its own name says nothing.
const INTERPRETERS: [&str; 9] =
    ["bash", "sh", "dash", "zsh", "perl", "ruby", "node", "nodejs", "pypy3"];
/// Options of interpreters that take the next word as their value.
const VALUES: [&str; 4] = ["-X", "-W", "-r", "--require"];

/// A name is cut at so many bytes by the kernel (`TASK_COMM_LEN`).
const NAME: usize = 15;

/// Whether a process may be a display whose processor time is nobody's: it has the foreground of a terminal and the name of
/// a display.
pub(super) fn may_draw(stat: &ProcessStat<'_>) -> bool {
    let foreground = stat.tty != 0 && stat.foreground == stat.group;
    foreground && may_draw_by_name(stat.comm)
}

/// Whether a process of this name may be such a display once it has the foreground.
pub(super) fn may_draw_by_name(comm: &[u8]) -> bool {
    std::str::from_utf8(comm).is_ok_and(|name| {
        DISPLAYS.contains(&name) || CLIENTS.contains(&name) || name.starts_with("python")
    })
}

/// Whether a process of that name with these arguments draws and does nothing else. This is stricter than [`is_display`], since its time
/// is taken out of somebody's work: a script of the shell that is called like a display is none.
pub(super) fn draws(comm: &[u8], arguments: &[&[u8]]) -> bool {
    let words: Vec<_> = arguments.iter().map(|word| String::from_utf8_lossy(word)).collect();
    let words: Vec<&str> = words.iter().map(AsRef::as_ref).collect();
    let Some((first, rest)) = words.split_first() else { return false };
    let is_named =
        |program: &str| program.as_bytes().get(..NAME).unwrap_or(program.as_bytes()) == comm;
    let program = base(first);
    if !program.starts_with("python") {
        let shows =
            DISPLAYS.contains(&program) || (CLIENTS.contains(&program) && follows_container(rest));
        return is_named(program) && shows;
    }
    let Some(script) = script(rest) else { return false };
    // A script of a display's name that was given to Python may be anybody's; one that was started by its name is a program.
    let is_module =
        |pair: &[&str]| matches!(pair, ["-m", it] if it.split('.').next() == Some(script));
    let module = MODULES.contains(&script) && rest.windows(2).any(is_module);
    (module && is_named(program)) || (is_named(script) && DISPLAYS.contains(&script))
}

/// Whether a process only shows something, by its arguments and its name (`/proc/PID/comm`), which decides where the arguments are
/// missing. Doubt makes it work.
pub(super) fn is_display(arguments: &[&[u8]], comm: &[u8]) -> bool {
    let words: Vec<_> = arguments.iter().map(|word| String::from_utf8_lossy(word)).collect();
    let words: Vec<&str> = words.iter().map(AsRef::as_ref).collect();
    if words.is_empty() { is_named(&String::from_utf8_lossy(comm)) } else { shows(&words) }
}

/// Whether a command only shows something.
pub(super) fn shows(words: &[&str]) -> bool {
    let Some((first, rest)) = words.split_first() else { return false };
    let name = base(first);
    if is_named(name) {
        return true;
    }
    match name {
        "agentctl" => follows_agent(rest),
        _ if CLIENTS.contains(&name) => follows_container(rest),
        "sh" | "bash" | "dash" | "zsh" if rest.first() == Some(&"-c") => {
            rest.get(1).is_some_and(|line| runs_one(line))
        }
        _ if is_interpreter(name) => script(rest).is_some_and(is_named),
        _ => false,
    }
}

/// Whether a name is that of a display. The ending of a script's file is left out.
pub(super) fn is_named(name: &str) -> bool {
    let stem = [".py", ".sh", ".pl"].iter().find_map(|ending| name.strip_suffix(ending));
    DISPLAYS.contains(&stem.unwrap_or(name))
}

/// Whether a line of the shell runs one display and nothing else: a multiplexer starts its windows so.
fn runs_one(line: &str) -> bool {
    let plain = !line.contains([';', '&', '|', '<', '>', '`', '$', '(', '\n']);
    plain && shows(&line.split_whitespace().collect::<Vec<_>>())
}

/// `agentctl watch`, `agentctl events --follow`.
fn follows_agent(rest: &[&str]) -> bool {
    let verb = rest.iter().find(|word| !word.starts_with('-')).copied().unwrap_or_default();
    let follow = rest.iter().any(|word| matches!(*word, "--follow" | "-f"));
    verb == "watch" || (verb == "events" && follow)
}

/// `docker logs -f`, `docker stats`, `kubectl get -w`.
pub(super) fn follows_container(rest: &[&str]) -> bool {
    let verb = rest.iter().find(|word| !word.starts_with('-')).copied().unwrap_or_default();
    let follows = rest.iter().any(|word| matches!(*word, "-f" | "-w" | "--follow" | "--watch"));
    match verb {
        "stats" | "events" | "top" => true,
        "logs" | "get" => follows,
        _ => false,
    }
}

/// Whether a program runs scripts: `python3.12`, `bash`.
fn is_interpreter(name: &str) -> bool {
    INTERPRETERS.contains(&name) || name.starts_with("python")
}

/// The name of the script or the module that an interpreter runs; none for commands in its arguments (`-c`).
fn script<'a>(rest: &[&'a str]) -> Option<&'a str> {
    let mut words = rest.iter().copied();
    while let Some(word) = words.next() {
        match word {
            "-m" => return words.next().map(|module| module.split('.').next().unwrap_or(module)),
            "-c" | "-e" => return None,
            _ if VALUES.contains(&word) => drop(words.next()),
            _ if word.starts_with('-') => {}
            _ => return Some(base(word)),
        }
    }
    None
}

fn base(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_draws_is_known_by_its_name_and_scripts_of_that_name_do_not() {
        let draws = |comm: &str, line: &str| {
            let words: Vec<_> = line.split(' ').map(str::as_bytes).collect();
            draws(comm.as_bytes(), &words)
        };
        for (comm, line) in [
            ("watch", "watch -n 1 nvidia-smi"),
            ("htop", "/usr/bin/htop"),
            ("nvitop", "/usr/bin/python3 -s /usr/local/bin/nvitop"),
            ("top", "top"),
            ("k9s", "k9s"),
            ("python3", "python3 -m glances"),
            ("python3.12", "/opt/venv/bin/python3.12 -m gpustat.cli -i 1"),
            ("glances", "/usr/bin/python3 -X dev /usr/bin/glances"),
            ("docker", "docker stats"),
            ("docker", "/usr/bin/docker logs -f web"),
            ("kubectl", "kubectl get pods -w"),
        ] {
            assert!(draws(comm, line), "{line}");
        }
        for (comm, line) in [
            ("watch.sh", "/bin/bash ./watch.sh"),
            ("watch", "/bin/bash /home/alice/bin/watch"),
            ("python3", "python3 watch"),
            ("train", "/home/alice/top/train"),
            ("top", "/home/alice/train"),
            ("make", "make top"),
            ("top", ""),
            ("python3", "python3 -m watch"),
            ("python3", "python3 train.py -m glances"),
            ("python3", "python3 -c x -m glances"),
            ("python3", "python3 /home/alice/glances -m x"),
            ("train", "python3 -m glances"),
            ("docker", "docker run stats"),
            ("docker", "docker compose up"),
            ("kubectl", "kubectl exec -it web -- stats"),
            ("train", "docker stats"),
        ] {
            assert!(!draws(comm, line), "{line}");
        }
    }

    fn display(line: &str) -> bool {
        let words: Vec<_> = line.split(' ').map(str::as_bytes).collect();
        is_display(&words, b"x")
    }

    #[test]
    fn what_only_shows_is_known_as_a_program_a_script_or_a_module() {
        for line in [
            "top",
            "/usr/bin/htop -d 5",
            "watch -n1 nvidia-smi",
            "nvtop",
            "/usr/bin/python3 /usr/local/bin/nvitop",
            "/home/a/miniconda3/bin/python3.12 /home/a/miniconda3/bin/nvitop -m full",
            "python3 -m nvitop",
            "python -m gpustat.cli -i 1",
            "python3 -u -X dev /usr/bin/glances",
            "/usr/bin/python3 /usr/bin/bpytop",
            "/usr/bin/python3 /usr/sbin/iotop",
            "bash /usr/bin/bashtop",
            "/bin/bash /home/a/bashtop.sh",
            "s-tui",
            "python3 /usr/bin/s-tui",
            "agentctl watch",
            "/usr/bin/agentctl events --follow",
            "agentctl --no-color watch",
            "docker stats",
            "docker logs -f web",
            "kubectl get pods -w",
            "journalctl -fu ssh",
            "tail -f x.log",
        ] {
            assert!(display(line), "{line}");
        }
    }

    #[test]
    fn doubt_is_work() {
        for line in [
            "python3 train.py",
            "python3 /srv/top/train.py",
            "python3 -c top",
            "bash -c htop;make",
            "bash train.sh watch",
            "python3 -m torch.distributed.run nvitop",
            "./watcher",
            "python3 watchdog.py",
            "mc",
            "ranger",
            "nnn",
            "agentctl events",
            "agentctl run -- watch",
            "docker run stats",
            "kubectl get pods",
            "",
            "node server.js top",
        ] {
            assert!(!display(line), "{line}");
        }
    }

    #[test]
    fn a_window_that_a_shell_was_told_to_open_is_a_display_only_if_that_is_all() {
        let display = |line: &str| is_display(&[b"sh", b"-c", line.as_bytes()], b"sh");
        assert!(display("watch -n1 nvidia-smi") && display("htop"));
        for line in
            ["watch -n1 x; make", "make | tail -f", "exec $JOB", "./train", "htop && ./train", ""]
        {
            assert!(!display(line), "{line}");
        }
    }

    #[test]
    fn without_arguments_the_name_decides() {
        assert!(is_display(&[], b"htop"));
        assert!(!is_display(&[], b"python3"));
        assert!(!is_display(&[b"python3", b"train.py"], b"top"), "anybody may call himself so");
    }
}
