//! What the program in the foreground of a terminal is to the person before it.
//!
//! It is told from the arguments. Doubt makes it a job, for which the machine waits longest.

use super::service;
use crate::sources::{displays, ide};

/// What a program in the foreground is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A shell that waits for a command.
    Prompt,
    /// A program that only shows something: `top`, `tail -f`, `less`.
    Display,
    /// A program that waits for its user and does nothing by itself: an editor.
    Editor,
    /// A way to somewhere else: `ssh host`, a shell in a container.
    Relay,
    /// A client of a terminal multiplexer.
    Client(Multiplexer),
    /// A server, of a development environment or another: alone it is nobody.
    Server,
    /// A prompt to log in: nobody is there.
    Login,
    /// Anything else: it does something that somebody waits for.
    Job,
}

/// A program that keeps terminals when its client has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Multiplexer {
    /// tmux(1).
    Tmux,
    /// screen(1).
    Screen,
    /// Zellij.
    Zellij,
}

impl Multiplexer {
    /// Its name.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Tmux => "tmux",
            Self::Screen => "screen",
            Self::Zellij => "zellij",
        }
    }
}

/// A command: what it is and what it is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Command {
    /// What it is.
    pub(super) kind: Kind,
    /// Its name, for people: that of the program or of the script, never its arguments.
    pub(super) name: String,
}

const SHELLS: [&str; 14] = [
    "bash", "sh", "dash", "zsh", "fish", "ksh", "mksh", "ksh93", "tcsh", "csh", "ash", "nu", "pwsh",
    "xonsh",
];

/// Programs that show and do what their user tells them meanwhile. Other displays are in [`displays`].
const BROWSERS: [&str; 8] =
    ["k9s", "lazydocker", "ranger", "mc", "nnn", "tig", "man", "info"];

const PAGERS: [&str; 4] = ["less", "more", "most", "pager"];

const EDITORS: [&str; 23] = [
    "vi", "vim", "vim.basic", "vim.tiny", "vim.nox", "vim.gtk3", "nvim", "vimdiff", "view", "nano",
    "rnano", "pico", "emacs", "emacsclient", "micro", "hx", "helix", "kak", "joe", "ed", "mcedit",
    "ne", "editor",
];

const RELAYS: [&str; 10] = [
    "mosh", "mosh-client", "telnet", "sftp", "minicom", "picocom", "tio", "byobu", "dtach", "abduco",
];

const LOGINS: [&str; 5] = ["agetty", "getty", "mgetty", "fgetty", "login"];

/// Options of ssh(1) that take a value.
const SSH_VALUES: &str = "BbcDEeFIiJLlmOoPpQRSWw";

/// Judges a program by its name (`/proc/PID/comm`) and its arguments, which may be missing.
pub(super) fn judge(comm: &str, arguments: &[&[u8]]) -> Command {
    match comm {
        "tmux: client" => {
            let kind = Kind::Client(Multiplexer::Tmux);
            return Command { kind, name: "tmux".to_owned() };
        }
        // It writes what it likes where its arguments were. A child of a connection's is a file transfer.
        "sshd" | "sshd-session" => return Command { kind: Kind::Relay, name: comm.to_owned() },
        _ => {}
    }
    if let Some(tool) = ide::judge(arguments).filter(|tool| tool.part == ide::Part::Helper) {
        return Command { kind: Kind::Server, name: format!("{} server", tool.product) };
    }
    let words: Vec<_> = arguments.iter().map(|word| String::from_utf8_lossy(word)).collect();
    let words: Vec<&str> = words.iter().map(AsRef::as_ref).collect();
    if displays::is_display(arguments, comm.as_bytes()) {
        let name = words.first().map_or(comm, |first| program(first));
        return Command { kind: Kind::Display, name: name.to_owned() };
    }
    if words.is_empty() {
        let kind = named(comm).unwrap_or(Kind::Job);
        return Command { kind, name: comm.to_owned() };
    }
    command(&words, 4)
}

/// Whether a program waits for its user on behalf of the one that started it: a pager of `git log`, an editor of
/// `crontab -e`.
pub(super) fn waits_for_user(command: &Command) -> bool {
    command.kind == Kind::Editor || PAGERS.contains(&command.name.as_str())
}

/// Whether the arguments are those of a shell, whatever it does.
pub(super) fn is_shell(arguments: &[&[u8]]) -> bool {
    arguments.first().is_some_and(|word| SHELLS.contains(&program(&String::from_utf8_lossy(word))))
}

/// Whether the arguments are those of a screen server (it calls itself so).
pub(super) fn is_screen_server(arguments: &[&[u8]]) -> bool {
    arguments.first().is_some_and(|word| word.ends_with(b"SCREEN"))
}

fn command(words: &[&str], depth: usize) -> Command {
    let Some((first, rest)) = words.split_first() else {
        return Command { kind: Kind::Prompt, name: "shell".to_owned() };
    };
    let name = program(first);
    if SHELLS.contains(&name) {
        return shell(name, rest);
    }
    let kind = match name {
        "sudo" | "doas" | "env" | "nice" | "ionice" | "nohup" | "setsid" | "stdbuf" | "time"
        | "timeout"
            if depth > 0 =>
        {
            return wrapper(name, rest, depth);
        }
        "su" | "runuser" => su(rest),
        "ssh" | "slogin" => ssh(rest),
        "docker" | "podman" | "nerdctl" | "kubectl" => container(rest),
        "tmux" => Kind::Client(Multiplexer::Tmux),
        "screen" => Kind::Client(Multiplexer::Screen),
        "zellij" => Kind::Client(Multiplexer::Zellij),
        _ if displays::shows(words) || script_of_browser(name, rest) => Kind::Display,
        _ if service::is_server(words) => Kind::Server,
        _ => named(name).unwrap_or(Kind::Job),
    };
    Command { kind, name: name.to_owned() }
}

/// Whether a script of Python is one of the browsers: `python3 /usr/bin/ranger`.
fn script_of_browser(name: &str, rest: &[&str]) -> bool {
    let script = rest.iter().find(|word| !word.starts_with('-')).copied().unwrap_or_default();
    let commanded = rest.iter().any(|word| matches!(*word, "-c" | "-m"));
    name.starts_with("python") && !commanded && BROWSERS.contains(&program(script))
}

/// What is known by the name alone.
fn named(name: &str) -> Option<Kind> {
    match name {
        _ if SHELLS.contains(&name) => Some(Kind::Prompt),
        _ if displays::is_named(name) || BROWSERS.contains(&name) || PAGERS.contains(&name) => {
            Some(Kind::Display)
        }
        _ if EDITORS.contains(&name) => Some(Kind::Editor),
        _ if RELAYS.contains(&name) => Some(Kind::Relay),
        _ if LOGINS.contains(&name) => Some(Kind::Login),
        "sftp-server" => Some(Kind::Relay),
        _ => None,
    }
}

/// A shell waits for commands unless it was given some: `-c`, a script.
fn shell(name: &str, rest: &[&str]) -> Command {
    let mut words = rest.iter();
    while let Some(word) = words.next() {
        if matches!(*word, "--rcfile" | "--init-file" | "-O" | "+O" | "-o" | "+o" | "-C") {
            words.next();
        } else if *word == "-" || *word == "--" || *word == "-s" || *word == "-i" {
        } else if word.starts_with("--") || word.starts_with('+') {
            if matches!(*word, "--command" | "--commands") {
                return Command { kind: Kind::Job, name: name.to_owned() };
            }
        } else if let Some(letters) = word.strip_prefix('-') {
            let given = ["Command", "File", "EncodedCommand"].contains(&letters);
            if given || letters.contains('c') {
                return Command { kind: Kind::Job, name: name.to_owned() };
            }
        } else {
            let script = program(word);
            let shows = displays::is_named(script);
            let kind = if shows { Kind::Display } else { Kind::Job };
            return Command { kind, name: script.to_owned() };
        }
    }
    Command { kind: Kind::Prompt, name: name.to_owned() }
}

/// A program that runs another one is that one.
fn wrapper(name: &str, rest: &[&str], depth: usize) -> Command {
    let values = match name {
        "sudo" => "ughpCcDRTtUr",
        "doas" => "uC",
        "env" => "uCS",
        "nice" => "n",
        "ionice" => "cnpPu",
        "stdbuf" => "ioe",
        "time" => "fo",
        "timeout" => "ks",
        _ => "",
    };
    if name == "sudo" && rest.first().is_some_and(|word| matches!(*word, "-e" | "--edit")) {
        return Command { kind: Kind::Editor, name: name.to_owned() };
    }
    let mut rest = operands(rest, values);
    if name == "timeout" {
        rest = rest.get(1..).unwrap_or_default();
    }
    let assignments = rest.iter().take_while(|word| word.contains('=')).count();
    let rest = rest.get(assignments..).unwrap_or_default();
    match rest {
        [] if name == "sudo" || name == "doas" => {
            Command { kind: Kind::Prompt, name: name.to_owned() }
        }
        [] => Command { kind: Kind::Job, name: name.to_owned() },
        _ => command(rest, depth - 1),
    }
}

/// `su` is a shell of somebody else, or a command.
fn su(rest: &[&str]) -> Kind {
    let given = |word: &&str| {
        word.starts_with("--command") || (word.starts_with('-') && *word != "-" && word.ends_with('c'))
    };
    if rest.iter().any(given) { Kind::Job } else { Kind::Prompt }
}

/// A shell elsewhere is a relay; a command elsewhere is waited for.
fn ssh(rest: &[&str]) -> Kind {
    if operands(rest, SSH_VALUES).len() > 1 { Kind::Job } else { Kind::Relay }
}

fn container(rest: &[&str]) -> Kind {
    let verb = rest.iter().find(|word| !word.starts_with('-')).copied().unwrap_or_default();
    let last = rest.last().copied().unwrap_or_default();
    match verb {
        "exec" | "run" if SHELLS.contains(&program(last)) => Kind::Relay,
        "attach" => Kind::Relay,
        _ if displays::follows_container(rest) => Kind::Display,
        _ => Kind::Job,
    }
}

/// What is left behind the options, of which those in `values` take the next word as their value unless it is joined.
fn operands<'a, 'b>(words: &'a [&'b str], values: &str) -> &'a [&'b str] {
    let mut at = 0;
    while let Some(word) = words.get(at) {
        if *word == "--" {
            return words.get(at + 1..).unwrap_or_default();
        }
        let Some(letters) = word.strip_prefix('-').filter(|letters| !letters.is_empty()) else {
            break;
        };
        // The first letter that takes a value has it in the rest of the word, or in the next one.
        let takes = letters.find(|letter| values.contains(letter));
        let next = !letters.starts_with('-') && takes == Some(letters.len().saturating_sub(1));
        at += if next { 2 } else { 1 };
    }
    words.get(at..).unwrap_or_default()
}

/// The name of a program without its folder and without the dash of a login shell.
fn program(word: &str) -> &str {
    let name = word.rsplit('/').next().unwrap_or(word);
    name.strip_prefix('-').filter(|rest| !rest.is_empty()).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(line: &str) -> Kind {
        let words: Vec<_> = line.split(' ').map(str::as_bytes).collect();
        judge("x", &words).kind
    }

    #[test]
    fn shells_wait_unless_they_were_given_commands() {
        for line in [
            "-bash", "bash", "/bin/bash -l", "zsh -i", "-zsh", "sh", "fish", "bash --norc --noprofile",
            "bash --init-file /home/a/.vscode-server/x/shellIntegration-bash.sh", "bash -O globstar",
            "sudo -i", "sudo -u bob -s", "sudo -iu bob", "sudo su -", "sudo su - bob", "su", "su - bob", "su -",
            "sudo bash", "doas -u bob", "bash -s",
        ] {
            assert_eq!(kind(line), Kind::Prompt, "{line}");
        }
        for line in [
            "bash train.sh", "/bin/bash ./train.sh 5", "sh -c sleep", "bash -lc make", "zsh -ic make", "su -c make bob",
            "su - bob -lc make", "sudo ./train.sh", "sudo -u bob make -j8", "bash -O globstar x.sh", "fish -c x",
            "pwsh -File x.ps1",
        ] {
            assert_eq!(kind(line), Kind::Job, "{line}");
        }
    }

    #[test]
    fn what_only_shows_is_told_from_what_edits_and_what_works() {
        for line in [
            "top", "/usr/bin/htop -d 5", "watch -n 1 nvidia-smi", "tail -f x.log", "less", "man ls", "journalctl -fu ssh",
            "dmesg -w", "nvidia-smi -l 1", "nvtop", "sudo tail -f /var/log/syslog", "sudo -u bob htop",
            "nice -n 10 top", "docker logs -f web", "docker stats", "kubectl get pods -w", "env A=1 top",
            "timeout 60 top", "stdbuf -oL tail -f x", "sudo -E LANG=C top",
        ] {
            assert_eq!(kind(line), Kind::Display, "{line}");
        }
        for line in ["vim a.c", "nvim", "sudo vim /etc/fstab", "nano", "sudo -e x", "emacs -nw"] {
            assert_eq!(kind(line), Kind::Editor, "{line}");
        }
        for line in [
            "make -j8", "python3 train.py", "python3", "psql", "git clone x", "apt upgrade", "sleep 390", "nohup ./run",
            "time make", "timeout 3600 ./run", "docker run image job", "docker compose up", "nice make", "env A=1 make",
            "cat", "rsync -a x y", "kubectl get pods", "docker exec -it web python train.py", "sudo apt upgrade",
        ] {
            assert_eq!(kind(line), Kind::Job, "{line}");
        }
    }

    #[test]
    fn ways_to_somewhere_else_are_relays_unless_they_carry_a_command() {
        for line in [
            "ssh host", "ssh -p 22 -i key bob@host", "ssh -N -L 8888:localhost:8888 host", "mosh host", "sftp host",
            "docker exec -it web bash", "podman attach web", "kubectl exec -it pod -- /bin/sh", "ssh -vp22 host",
        ] {
            assert_eq!(kind(line), Kind::Relay, "{line}");
        }
        assert_eq!(kind("ssh -p 22 host make"), Kind::Job);
        assert_eq!(kind("tmux attach -t 0"), Kind::Client(Multiplexer::Tmux));
        assert_eq!(kind("screen -r"), Kind::Client(Multiplexer::Screen));
        assert_eq!(kind("zellij"), Kind::Client(Multiplexer::Zellij));
        assert_eq!(kind("/sbin/agetty -o -p -- \\u --noclear tty1 linux"), Kind::Login);
    }

    #[test]
    fn what_only_shows_may_be_a_script() {
        for line in [
            "/usr/bin/python3 /usr/local/bin/nvitop", "python3 -m glances", "bash /usr/bin/bashtop", "agentctl watch",
            "sudo /usr/bin/python3 /usr/sbin/iotop", "/usr/bin/python3 /usr/bin/ranger", "agentctl events --follow",
        ] {
            assert_eq!(kind(line), Kind::Display, "{line}");
        }
        for line in ["python3 -c ranger", "bash train.sh htop", "python3 top_down.py"] {
            assert_eq!(kind(line), Kind::Job, "{line}");
        }
    }

    #[test]
    fn a_server_in_a_terminal_is_a_server() {
        assert_eq!(kind("python3 -m http.server 8000"), Kind::Server);
        assert_eq!(kind("sudo -u bob vllm serve x"), Kind::Server);
        assert_eq!(kind("/usr/bin/python3 /usr/local/bin/jupyter-lab"), Kind::Server);
        assert_eq!(kind("/usr/lib/code-server/lib/node /usr/lib/code-server"), Kind::Server);
        assert_eq!(kind("python3 -m ipykernel_launcher -f /x/kernel-1.json"), Kind::Job);
    }

    #[test]
    fn the_name_is_that_of_the_program_or_script_and_never_an_argument() {
        let name = |line: &str| {
            let words: Vec<_> = line.split(' ').map(str::as_bytes).collect();
            judge("x", &words).name
        };
        assert_eq!(name("/usr/bin/make SECRET=1"), "make");
        assert_eq!(name("/bin/bash ./train.sh --token=1"), "train.sh");
        assert_eq!(name("sudo -u bob TOKEN=1 /opt/run --key=1"), "run");
        assert_eq!(name("bash -c echo"), "bash");
        assert_eq!(name("-bash"), "bash");
    }

    #[test]
    fn without_arguments_the_name_decides() {
        assert_eq!(judge("htop", &[]).kind, Kind::Display);
        assert_eq!(judge("bash", &[]).kind, Kind::Prompt);
        assert_eq!(judge("cc1plus", &[]).kind, Kind::Job);
        assert_eq!(judge("tmux: client", &[b"tmux"]).kind, Kind::Client(Multiplexer::Tmux));
        assert_eq!(judge("sshd", &[b"sshd: alice@internal-sftp"]).kind, Kind::Relay);
    }

    #[test]
    fn pagers_and_editors_wait_for_their_user_and_other_displays_do_not() {
        let waits = |line: &str| {
            let words: Vec<_> = line.split(' ').map(str::as_bytes).collect();
            waits_for_user(&judge("x", &words))
        };
        assert!(waits("less") && waits("pager") && waits("vim x"));
        assert!(!waits("tail -f x") && !waits("make") && !waits("bash"));
    }

    proptest::proptest! {
        #[test]
        fn no_arguments_make_it_panic(words in proptest::collection::vec("[ -~]{0,12}", 0..8), comm in "[ -~]{0,15}") {
            let words: Vec<_> = words.iter().map(String::as_bytes).collect();
            judge(&comm, &words);
            is_shell(&words);
            is_screen_server(&words);
        }
    }
}
