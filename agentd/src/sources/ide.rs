//! Servers of development environments (VS Code and its kin, `JetBrains`, Jupyter, `RStudio`) and what runs in them.
//!
//! Such a server goes on when its client has left, and busies itself: it watches files, indexes, checks types. None of
//! this is somebody's work. What people run through it is: kernels, terminals, programs under a debugger. They are told
//! apart by their command lines, which every process may show as it likes; whoever lies there changes only how long the
//! machine waits for him.
//!
//! Doubt counts as work: a process without a terminal below such a server is a helper only if it is known as one.

mod places;

use std::collections::HashMap;

use agent_core::stamp::Stamp;

use crate::host::process::{self, ProcessStat, Processes};
use crate::host::{HostError, HostRoot};
use places::{JETBRAINS, Place};

/// What a process is to a development environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tool {
    /// The product, for people: `VS Code`, `Jupyter`.
    pub(super) product: &'static str,
    /// What it does there.
    pub(super) part: Part,
}

/// What a process does in a development environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// The server itself or what it runs for its own sake.
    Helper,
    /// What somebody runs in it, a kernel: work.
    Payload,
}

/// The programs of a Jupyter server. Others of the name (`jupyter-nbconvert`) work.
const JUPYTER: [&str; 8] = [
    "jupyter-lab",
    "jupyter-notebook",
    "jupyter-server",
    "jupyter-labhub",
    "jupyter-nbclassic",
    "jupyterhub-singleuser",
    "jupyterhub",
    "configurable-http-proxy",
];

/// The same as modules of Python (`python -m`).
const JUPYTER_MODULES: [&str; 5] =
    ["jupyterlab", "notebook", "jupyter_server", "jupyterhub.singleuser", "jupyterhub"];

/// What tells the language server of Java, which is installed in many ways.
const JDT: &str = "-Declipse.application=org.eclipse.jdt.ls";

/// Names of processes whose command lines are worth a look: those of the servers and of the interpreters that they are
/// written for.
const CANDIDATES: [&[u8]; 25] = [
    b"node",
    b"MainThread",
    b"code",
    b"openvscode",
    b"cursor",
    b"windsurf",
    b"java",
    b"python",
    b"jupyter",
    b"rserver",
    b"rsession",
    b"R",
    b"julia",
    b"zed",
    b"remote-dev",
    b"idea",
    b"pycharm",
    b"goland",
    b"clion",
    b"rubymine",
    b"webstorm",
    b"sh",
    b"bash",
    b"rg",
    b"rust-analyzer",
];

/// A process is settled when it is this old, in milliseconds: a younger one may still become another program.
const SETTLED_MS: u64 = 10_000;

/// Says what a process is by its arguments.
pub(super) fn judge(arguments: &[&[u8]]) -> Option<Tool> {
    let words: Vec<_> = arguments.iter().map(|word| String::from_utf8_lossy(word)).collect();
    let words: Vec<&str> = words.iter().map(AsRef::as_ref).collect();
    let (program, rest) = words.split_first()?;
    let name = base(program);
    let helper = |product| Some(Tool { product, part: Part::Helper });
    let payload = |product| Some(Tool { product, part: Part::Payload });
    let script = rest.iter().find(|word| !word.starts_with('-')).copied().unwrap_or_default();
    if name == "rsession" {
        return payload("RStudio");
    }
    if name == "rserver" {
        return helper("RStudio");
    }
    if is_tunnel(name, rest) {
        return helper("VS Code");
    }
    if rest.iter().any(|word| is_kernel(word)) {
        return payload("Jupyter");
    }
    let python = name.starts_with("python");
    let module = rest.iter().skip_while(|word| **word != "-m").nth(1).copied().unwrap_or_default();
    let starter = module == "jupyter" || base(script) == "jupyter" || name == "jupyter";
    let verbs = ["lab", "notebook", "server"];
    if JUPYTER.contains(&name)
        || (python && (JUPYTER.contains(&base(script)) || JUPYTER_MODULES.contains(&module)))
        || (starter && rest.iter().any(|word| verbs.contains(word)))
    {
        return helper("Jupyter");
    }
    of_installation(program, rest, script)
}

/// What a program is that lies in an installation of a server, or runs something that does.
fn of_installation(program: &str, rest: &[&str], script: &str) -> Option<Tool> {
    let name = base(program);
    let helper = |product| Some(Tool { product, part: Part::Helper });
    if name == "java" && rest.iter().any(|word| word.starts_with(JDT)) {
        return helper("VS Code");
    }
    let place = Place::of(program);
    if !is_runtime(name) {
        let place = place?;
        return if place.is_own_program(rest) { helper(place.product) } else { payload_of(place) };
    }
    if let Some(place) = place.filter(|it| it.product == JETBRAINS && it.is_own_program(rest)) {
        return helper(place.product);
    }
    // A runtime is what it runs, wherever it lies itself. The shell of a terminal is told to read a file of the server's before its
    // user's; a script comes first.
    let shell = ["sh", "bash", "dash"].contains(&name);
    let archive = rest.iter().skip_while(|word| !["-jar", "-cp"].contains(*word)).nth(1);
    let script = if name == "java" { archive.copied().unwrap_or_default() } else { script };
    let own = Place::of(script).filter(|script| match name {
        _ if is_node(name) => script.is_own_script(),
        _ if shell => script.is_own_shell_script(),
        _ => script.is_language_server(),
    });
    match own.filter(|_| !shell || rest.first() == Some(&script)) {
        Some(own) => helper(own.product),
        None => place.and_then(payload_of),
    }
}

/// What is in an installation and not known to be the server's. That a client of `JetBrains` comes through a relay is known by any
/// program of theirs.
fn payload_of(place: Place<'_>) -> Option<Tool> {
    let product = place.product;
    (product == JETBRAINS).then_some(Tool { product, part: Part::Payload })
}

/// Says whether what a helper started, without a terminal, is one too.
fn is_language_server(arguments: &[&[u8]]) -> bool {
    let words = arguments.iter().take(4).map(|word| String::from_utf8_lossy(word));
    let mut words = words.filter(|word| !word.starts_with('-'));
    let program = words.next().unwrap_or_default();
    let interpreted = is_node(base(&program)) || base(&program).starts_with("python");
    let script = if interpreted { words.next().unwrap_or_default() } else { program };
    places::is_known_language_server(base(&script))
}

/// The file with which a kernel of Jupyter is told where to connect: `kernel-0f3b….json`.
fn is_kernel(word: &str) -> bool {
    let file = base(word.rsplit('=').next().unwrap_or(word));
    file.starts_with("kernel-") && file.strip_suffix(".json").is_some()
}

/// The command line tool of VS Code and its kin, and what of it serves: `code tunnel`. Without such a word it opens files.
fn is_tunnel(name: &str, rest: &[&str]) -> bool {
    let tools = ["code", "code-insiders", "code-tunnel", "codium", "cursor", "windsurf"];
    let verb = rest.iter().find(|word| !word.starts_with('-')).copied().unwrap_or_default();
    tools.contains(&name) && ["tunnel", "serve-web"].contains(&verb)
}

/// Whether a program runs others' programs, so that its own place says nothing.
fn is_runtime(name: &str) -> bool {
    let runtimes = ["java", "dotnet", "ruby", "perl", "php", "sh", "bash", "dash"];
    is_node(name) || name.starts_with("python") || runtimes.contains(&name)
}

fn is_node(name: &str) -> bool {
    name == "node" || name == "nodejs"
}

fn base(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// A process as it is asked about.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    /// Its pid.
    pub(super) pid: u32,
    /// Its parent's.
    pub(super) ppid: u32,
    start: u64,
    /// Whether it has a controlling terminal.
    pub(super) terminal: bool,
    comm: [u8; 16],
}

impl From<&ProcessStat<'_>> for Asked {
    fn from(stat: &ProcessStat<'_>) -> Self {
        let mut comm = [0; 16];
        for (to, from) in comm.iter_mut().zip(stat.comm) {
            *to = *from;
        }
        Self { pid: stat.pid, ppid: stat.ppid, start: stat.start, terminal: stat.tty != 0, comm }
    }
}

impl Asked {
    /// Whether it may be the server of a development environment, by its name.
    pub(super) fn may_serve(&self) -> bool {
        CANDIDATES.iter().any(|name| self.comm.starts_with(name))
    }

    /// Its name, as the kernel cuts it.
    pub(super) fn name(&self) -> &[u8] {
        let end = self.comm.iter().position(|byte| *byte == 0).unwrap_or(self.comm.len());
        self.comm.get(..end).unwrap_or_default()
    }

    /// Whether it is too young for what it is to be final. Start times are in ticks of 10 ms since boot.
    pub(super) fn is_young(&self, now: Stamp) -> bool {
        now.boot_ms < self.start.saturating_mul(10).saturating_add(SETTLED_MS)
    }
}

/// What is known of processes, so that each command line is read once.
#[derive(Debug)]
pub(super) struct Tools {
    processes: Processes,
    buffer: Vec<u8>,
    known: HashMap<u32, Known>,
    look: u64,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    start: u64,
    comm: [u8; 16],
    tool: Option<Tool>,
    settled: bool,
    look: u64,
}

impl Tools {
    /// Nothing is known yet.
    pub(super) fn new(root: HostRoot) -> Self {
        let processes = Processes::new(root);
        Self { processes, buffer: Vec::new(), known: HashMap::new(), look: 0 }
    }

    /// Begins a look at all processes.
    pub(super) fn begin(&mut self) {
        self.look += 1;
    }

    /// Ends the look: forgets the processes that were not asked about in it.
    pub(super) fn finish(&mut self) {
        let look = self.look;
        self.known.retain(|_, known| known.look == look);
    }

    /// Whether a process is a helper of a server, where all processes are asked about.
    pub(super) fn is_helper(
        &mut self,
        now: Stamp,
        stat: &ProcessStat<'_>,
    ) -> Result<bool, HostError> {
        let asked = Asked::from(stat);
        if !asked.may_serve() {
            return Ok(false);
        }
        let tool = self.of(now, &asked)?;
        Ok(tool.is_some_and(|tool| tool.part == Part::Helper))
    }

    /// What a process is. Its parent should have been asked about before, if it matters.
    pub(super) fn of(&mut self, now: Stamp, asked: &Asked) -> Result<Option<Tool>, HostError> {
        let same = |known: &&mut Known| known.start == asked.start && known.comm == asked.comm;
        if let Some(known) = self.known.get_mut(&asked.pid).filter(same)
            && known.settled
        {
            known.look = self.look;
            return Ok(known.tool);
        }
        self.processes.arguments(asked.pid, &mut self.buffer)?;
        let arguments = process::words(&self.buffer);
        let parent = self.known.get(&asked.ppid).and_then(|known| known.tool);
        let helped = parent.filter(|parent| parent.part == Part::Helper && !asked.terminal);
        let tool = judge(&arguments).or_else(|| helped.filter(|_| is_language_server(&arguments)));
        let (start, comm, look) = (asked.start, asked.comm, self.look);
        let settled = !asked.is_young(now);
        self.known.insert(asked.pid, Known { start, comm, tool, settled, look });
        Ok(tool)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::tree::{Process, Tree};

    fn tool(line: &str) -> Option<(&'static str, Part)> {
        let words: Vec<_> = line.split(' ').map(str::as_bytes).collect();
        judge(&words).map(|tool| (tool.product, tool.part))
    }

    const CODE: &str = "/home/alice/.vscode-server/cli/servers/Stable-17b/server";
    const EXTENSIONS: &str = "/home/alice/.vscode-server/extensions";
    const IDEA: &str = "/home/a/.cache/JetBrains/RemoteDev/dist/9a";

    #[test]
    fn servers_and_their_helpers_are_known() {
        for (line, product) in [
            (format!("{CODE}/node {CODE}/out/server-main.js --port=0"), "VS Code"),
            (format!("{CODE}/node --dns-result-order=ipv4first {CODE}/out/bootstrap-fork --type=extensionHost"), "VS Code"),
            (format!("{CODE}/node {CODE}/out/bootstrap-fork --type=ptyHost"), "VS Code"),
            (format!("{CODE}/node {CODE}/extensions/node_modules/typescript/lib/tsserver.js --x"), "VS Code"),
            (format!("{CODE}/node_modules/@vscode/ripgrep/bin/rg --files"), "VS Code"),
            (format!("sh {CODE}/bin/code-server --start-server"), "VS Code"),
            ("/home/a/.vscode-server/code-17b command-shell --cli-data-dir x".to_owned(), "VS Code"),
            ("/home/a/.vscode-server/extensions/rust-lang.rust-analyzer-0.4/server/rust-analyzer".to_owned(), "VS Code"),
            ("/usr/bin/python3 /home/a/.vscode-server/extensions/ms-python.isort-1/bundled/tool/lsp_server.py".to_owned(), "VS Code"),
            ("/usr/lib/jvm/bin/java -Declipse.application=org.eclipse.jdt.ls.core.id1 -Xmx2G".to_owned(), "VS Code"),
            ("/home/a/.cursor-server/bin/x/node /home/a/.cursor-server/bin/x/out/server-main.js".to_owned(), "Cursor"),
            ("/home/a/.windsurf-server/bin/x/node /home/a/.windsurf-server/bin/x/out/bootstrap-fork".to_owned(), "Windsurf"),
            ("/usr/lib/code-server/lib/node /usr/lib/code-server --bind-addr x".to_owned(), "code-server"),
            ("/home/a/.local/lib/code-server-4.96.2/lib/node /home/a/.local/lib/code-server-4.96.2 x".to_owned(), "code-server"),
            (
                "/home/a/.local/lib/code-server-4.96.2/lib/node /home/a/.local/lib/code-server-4.96.2/lib/vscode/out/bootstrap-fork --type=extensionHost"
                    .to_owned(),
                "code-server",
            ),
            ("/tmp/code-server/lib/code-server-4.11.0/lib/node /tmp/code-server/lib/code-server-4.11.0/out/node/entry".to_owned(), "code-server"),
            ("/tmp/vscode-web/node /tmp/vscode-web/out/server-main.js --port 13338".to_owned(), "VS Code"),
            ("/home/a/.vscode/cli/servers/Stable-17b/server/node /home/a/.vscode/cli/servers/Stable-17b/server/out/server-main.js".to_owned(), "VS Code"),
            ("/home/a/.vscode-insiders/cli/servers/Insiders-1/server/node /home/a/.vscode-insiders/cli/servers/Insiders-1/server/out/server-main.js".to_owned(), "VS Code"),
            ("/home/a/.vscode/cli/serve-web/17b/node /home/a/.vscode/cli/serve-web/17b/out/server-main.js".to_owned(), "VS Code"),
            ("/home/a/.cursor/cli/servers/Stable-1/server/node /home/a/.cursor/cli/servers/Stable-1/server/out/server-main.js".to_owned(), "Cursor"),
            ("/usr/local/bin/code tunnel --accept-server-license-terms".to_owned(), "VS Code"),
            ("/home/a/code --verbose tunnel service internal-run".to_owned(), "VS Code"),
            ("/usr/bin/python3 /usr/local/bin/jupyter-lab --no-browser".to_owned(), "Jupyter"),
            ("/opt/conda/bin/python -m jupyterlab".to_owned(), "Jupyter"),
            ("/usr/bin/python3 /usr/bin/jupyter notebook".to_owned(), "Jupyter"),
            ("/usr/bin/python3 /opt/bin/jupyterhub-singleuser --port=4".to_owned(), "Jupyter"),
            ("/usr/lib/rstudio-server/bin/rserver".to_owned(), "RStudio"),
        ] {
            assert_eq!(tool(&line), Some((product, Part::Helper)), "{line}");
        }
    }

    #[test]
    fn installations_of_jetbrains_of_extensions_and_by_hand_are_known() {
        for (line, product) in [
            (format!("{IDEA}/jbr/bin/java -classpath {IDEA}/lib/app.jar -Xmx2g com.intellij.idea.Main cwmHostNoLobby /home/a/p"), "JetBrains"),
            (format!("{IDEA}/jbr/bin/java -classpath {IDEA}/lib/app.jar com.intellij.idea.Main"), "JetBrains"),
            (format!("{IDEA}/bin/remote-dev-server run /home/a/p"), "JetBrains"),
            (format!("bash {IDEA}/bin/remote-dev-server.sh run /home/a/p"), "JetBrains"),
            (format!("{IDEA}/bin/idea serverMode"), "JetBrains"),
            ("/home/a/.local/share/JetBrains/Toolbox/apps/pycharm/bin/pycharm64".to_owned(), "JetBrains"),
            ("/home/a/.local/share/JetBrains/Toolbox/apps/clion/bin/clang/linux/x64/bin/clangd --x".to_owned(), "JetBrains"),
            (format!("{EXTENSIONS}/charliermarsh.ruff-1/bundled/libs/bin/ruff server"), "VS Code"),
            (format!("{EXTENSIONS}/ms-vscode.cpptools-1/bin/cpptools-srv 17"), "VS Code"),
            (format!("/usr/bin/dotnet {EXTENSIONS}/csharp-2/.roslyn/Microsoft.CodeAnalysis.LanguageServer.dll"), "VS Code"),
            (format!("{EXTENSIONS}/redhat.java-1/jre/bin/java -jar {EXTENSIONS}/redhat.xml-1/server/org.eclipse.lemminx-uber.jar"), "VS Code"),
            (
                "/usr/lib/code-server/lib/node /home/a/.local/share/code-server/extensions/x-1/server/out/main.js".to_owned(),
                "code-server",
            ),
            (
                "/usr/bin/node /usr/local/lib/node_modules/code-server/out/node/entry.js".to_owned(),
                "code-server",
            ),
            (
                "/srv/code-server-4.96.2-linux-amd64/lib/node /srv/code-server-4.96.2-linux-amd64/out/node/entry".to_owned(),
                "code-server",
            ),
            (
                "/home/a/openvscode-server-v1.90.0-linux-x64/node /home/a/openvscode-server-v1.90.0-linux-x64/out/server-main.js".to_owned(),
                "OpenVSCode",
            ),
        ] {
            assert_eq!(tool(&line), Some((product, Part::Helper)), "{line}");
        }
    }

    #[test]
    fn kernels_are_somebodys_work() {
        for (line, product) in [
            (
                "/usr/bin/python3 -m ipykernel_launcher -f /home/a/.local/share/jupyter/runtime/kernel-0f.json",
                "Jupyter",
            ),
            (
                "/usr/bin/python3 -m ipykernel_launcher --f=/home/a/.local/share/jupyter/runtime/kernel-v3.json",
                "Jupyter",
            ),
            (
                "/usr/lib/R/bin/exec/R --slave -e IRkernel::main() --args /x/kernel-1.json",
                "Jupyter",
            ),
            ("/opt/julia/bin/julia -i /x/IJulia/src/kernel.jl /x/kernel-2.json", "Jupyter"),
            ("/usr/lib/rstudio-server/bin/rsession -u alice", "RStudio"),
        ] {
            assert_eq!(tool(line), Some((product, Part::Payload)), "{line}");
        }
    }

    #[test]
    fn what_people_run_is_no_helper() {
        for line in [
            "python3 train.py",
            "node server.js",
            "vim /home/a/.vscode-server/data/Machine/settings.json",
            "tail -f /home/a/.vscode-server/.17b.log",
            "/usr/bin/python3 /home/a/.vscode-server/extensions/ms-python.debugpy-1/bundled/libs/debugpy/launcher 4 -- train.py",
            "/usr/bin/python3 /home/a/.vscode-server/extensions/ms-python.python-1/python_files/vscode_pytest/run_pytest_script.py",
            "/home/a/.vscode-server/extensions/ms-vscode.cpptools-1/debugAdapters/bin/OpenDebugAD7",
            "/home/a/.vscode-server/bin/x/node /home/a/.vscode-server/extensions/anthropic.claude-code-1/cli.js",
            "/usr/lib/jvm/bin/java -cp /home/a/.vscode-server/data/User/workspaceStorage/1/bin Main",
            "/usr/bin/python3 /usr/bin/jupyter nbconvert --execute a.ipynb",
            "/usr/bin/python3 /usr/bin/jupyter-nbconvert --execute a.ipynb",
            "rg pattern /",
            "/bin/bash --init-file /home/a/.vscode-server/bin/17b/out/shellIntegration-bash.sh",
            "R",
            "",
        ] {
            assert_eq!(tool(line), None, "{line}");
        }
    }

    #[test]
    fn a_folder_that_is_called_like_an_editor_says_nothing() {
        for line in [
            "/home/a/src/code-server/venv/bin/python3 train.py",
            "/home/a/src/code-server/venv/bin/python3 /home/a/src/code-server/ci/language_model.py",
            "/home/a/src/code-server/lib/node /home/a/src/code-server/out/node/entry.js",
            "/home/a/src/code-server-notes/node /home/a/src/code-server-notes/out/x.js",
            "/home/a/src/code-server-4.1/bin/node /home/a/src/code-server-4.1/out/x.js",
            "/home/a/vscode-web/node /home/a/vscode-web/out/x.js",
            "/home/a/openvscode-server/build/server",
            "/home/a/remote-dev-server/server",
            "/usr/lib/code-servers/server",
            "node /home/a/code-server/train.js",
        ] {
            assert_eq!(tool(line), None, "{line}");
        }
    }

    #[test]
    fn what_a_server_runs_for_somebody_is_work_also_with_the_servers_own_programs() {
        for line in [
            format!("{CODE}/node /home/a/app/main.js"),
            format!("{CODE}/node train.js"),
            format!("{CODE}/node {CODE}/extensions/node_modules/typescript/lib/tsc.js -p ."),
            format!("{CODE}/train"),
            format!("{EXTENSIONS}/x-1/bin/esbuild --bundle"),
            format!("{EXTENSIONS}/redhat.java-1/jre/bin/java -cp /home/a/p/bin Main"),
            format!("{EXTENSIONS}/llvm-vs-code-extensions.lldb-dap-1/bin/lldb-server platform"),
            format!("bash {EXTENSIONS}/x-1/build.sh"),
            "/usr/bin/java -classpath m.jar org.codehaus.plexus.classworlds.launcher.Launcher -pl org.eclipse.jdt.ls.core".to_owned(),
        ] {
            assert_eq!(tool(&line), None, "{line}");
        }
    }

    #[test]
    fn what_an_ide_of_jetbrains_starts_is_work() {
        for folder in [IDEA, "/home/a/.local/share/JetBrains/Toolbox/apps/intellij-idea"] {
            for line in [
                "jbr/bin/java -classpath jps-launcher.jar org.jetbrains.jps.cmdline.BuildMain",
                "jbr/bin/java -classpath x.jar com.intellij.database.remote.RemoteJdbcServer",
                "jbr/bin/java -cp /home/a/p/out com.example.Main com.intellij.idea.Main",
                "jbr/bin/java -classpath x.jar com.intellij.idea.Main inspect /home/a/p",
                "jbr/bin/java -cp x",
                "bin/idea format -r /home/a/p",
                "plugins/maven/lib/maven3/bin/mvn package",
                "plugins/Kotlin/kotlinc/bin/kotlinc a.kt",
            ] {
                let line = format!("{folder}/{line}");
                assert_eq!(tool(&line), Some(("JetBrains", Part::Payload)), "{line}");
            }
        }
    }

    fn asked(pid: u32, parent: u32, terminal: bool) -> Asked {
        Asked { pid, ppid: parent, start: 1, terminal, comm: *b"node\0\0\0\0\0\0\0\0\0\0\0\0" }
    }

    #[test]
    fn a_language_server_is_a_helper_below_a_server_without_a_terminal_only() {
        let tree = Tree::new();
        let server = format!("{CODE}/node {CODE}/out/server-main.js");
        tree.process(&Process::new(50, "node").called(&server));
        for pid in [51, 52, 53] {
            tree.process(&Process::new(pid, "rg").called("/usr/bin/rg --files"));
        }
        tree.process(&Process::new(54, "cmake").called("cmake --build ."));
        let mut tools = Tools::new(tree.root());
        let now = Stamp::new(1_000_000, 0, 0);
        let mut part = |asked| tools.of(now, &asked).unwrap().map(|tool| tool.part);
        assert_eq!(part(asked(50, 1, false)), Some(Part::Helper));
        assert_eq!(part(asked(51, 50, false)), Some(Part::Helper));
        assert_eq!(part(asked(52, 50, true)), None, "in a terminal somebody searches");
        assert_eq!(part(asked(53, 1, false)), None);
        assert_eq!(part(asked(54, 50, false)), None, "doubt is work");
    }

    #[test]
    fn a_command_line_is_read_once_unless_the_process_is_young_or_another() {
        let tree = Tree::new();
        let kernel = "python3 -m ipykernel_launcher -f /x/kernel-1.json";
        tree.process(&Process::new(50, "node").called("node a.js"));
        let mut tools = Tools::new(tree.root());
        let young = Stamp::new(5_000, 0, 0);
        let now = Stamp::new(1_000_000, 0, 0);
        tools.begin();
        assert_eq!(tools.of(young, &asked(50, 1, false)).unwrap(), None);
        tree.process(&Process::new(50, "node").called(kernel));
        assert!(tools.of(now, &asked(50, 1, false)).unwrap().is_some(), "it was young");
        tree.process(&Process::new(50, "node").called("node a.js"));
        assert!(tools.of(now, &asked(50, 1, false)).unwrap().is_some(), "it is settled");
        let reused = Asked { start: 7, ..asked(50, 1, false) };
        assert!(tools.of(now, &reused).unwrap().is_none(), "it is another process");
        tools.finish();
        assert_eq!(tools.known.len(), 1);
        tools.begin();
        tools.finish();
        assert!(tools.known.is_empty());
    }

    #[test]
    fn names_tell_whose_command_line_is_worth_a_look() {
        let may = |name: &str| {
            let mut comm = [0; 16];
            comm[..name.len()].copy_from_slice(name.as_bytes());
            Asked { comm, ..asked(1, 1, false) }.may_serve()
        };
        for name in ["node", "node-MainThread", "code-17b", "python3.11", "jupyter-lab", "rsession"]
        {
            assert!(may(name), "{name}");
        }
        for name in ["make", "cc1plus", "kubelet", "sleep"] {
            assert!(!may(name), "{name}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_command_line_makes_it_panic(words in proptest::collection::vec("[ -~]{0,30}", 0..6)) {
            let words: Vec<_> = words.iter().map(String::as_bytes).collect();
            judge(&words);
            is_language_server(&words);
        }
    }
}
