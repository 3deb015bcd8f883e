//! Where servers of development environments are installed, and which programs in those places are the servers' own.
//!
//! A folder that is merely called like an editor is anybody's, and so is what a server's own runtime (`node`, `java`) is told to run
//! from elsewhere: a compiler, a build tool, somebody's program. Only what is known counts as the server's.

/// Folders that have such a name only where a server is installed, anywhere in a path, and whose they are.
const FOLDERS: [(&str, &str); 25] = [
    // What the command line tool fetches for `code tunnel` and `code serve-web`.
    ("/.vscode/cli/", "VS Code"),
    ("/.vscode-insiders/cli/", "VS Code"),
    ("/.vscode-cli/", "VS Code"),
    ("/.vscodium/cli/", "VSCodium"),
    ("/.cursor/cli/", "Cursor"),
    ("/.windsurf/cli/", "Windsurf"),
    ("/.positron/cli/", "Positron"),
    ("/.vscode-server/", "VS Code"),
    ("/.vscode-server-insiders/", "VS Code"),
    ("/.vscode-remote/", "VS Code"),
    ("/.vscode-server-oss/", "VSCodium"),
    ("/.vscodium-server/", "VSCodium"),
    ("/.cursor-server/", "Cursor"),
    ("/.windsurf-server/", "Windsurf"),
    ("/.positron-server/", "Positron"),
    ("/.trae-server/", "Trae"),
    ("/.kiro-server/", "Kiro"),
    ("/.antigravity-server/", "Antigravity"),
    // Extensions and what else code-server keeps for a user, and where npm installs it.
    ("/.local/share/code-server/", "code-server"),
    ("/lib/node_modules/code-server/", "code-server"),
    ("/.openvscode-server/", "OpenVSCode"),
    ("/JetBrains/RemoteDev/dist/", JETBRAINS),
    ("/.local/share/JetBrains/Toolbox/", JETBRAINS),
    ("/plugins/remote-dev-server/", JETBRAINS),
    ("/.zed_server/", "Zed"),
];
/// Folders of the system's into which packages and images install servers.
const ROOTS: [(&str, &str); 10] = [
    ("/usr/lib/code-server", "code-server"),
    ("/usr/share/code-server", "code-server"),
    ("/usr/local/lib/code-server", "code-server"),
    ("/opt/code-server", "code-server"),
    ("/app/code-server", "code-server"),
    ("/opt/conda/share/code-server", "code-server"),
    ("/usr/lib/openvscode-server", "OpenVSCode"),
    ("/opt/openvscode-server", "OpenVSCode"),
    // Where a workspace of Coder keeps the browser's editors.
    ("/tmp/vscode-web", "VS Code"),
    ("/tmp/code-server", "code-server"),
];
/// Whose programs are told by their main class.
pub(super) const JETBRAINS: &str = "JetBrains";

/// Programs in those folders that do somebody's bidding: debuggers, runners of tests, agents.
const BIDDING: [&str; 10] =
    ["debug", "lldb", "gdb", "dlv", "agent", "claude", "codex", "run", "test", "task"];
/// What servers run of other people's making for their own sake.
const LANGUAGE_SERVERS: [&str; 16] = [
    "rg",
    "pet",
    "clangd",
    "gopls",
    "rust-analyzer",
    "rust-analyzer-proc-macro-srv",
    "pylsp",
    "pyright-langserver",
    "basedpyright-langserver",
    "jedi-language-server",
    "lua-language-server",
    "bash-language-server",
    "texlab",
    "tsserver.js",
    "typingsInstaller.js",
    "eslintServer.js",
];
/// Parts of the names of language servers.
const SERVING: [&str; 8] =
    ["language", "lsp", "server", "analyzer", "jedi", "cpptools", "lemminx", "sonarlint-ls"];
/// The first argument of a program that is a language server among other things: `ruff server`, `terraform-ls serve`.
const SERVES: [&str; 7] =
    ["server", "serve", "lsp", "lsp-proxy", "language-server", "--lsp", "--stdio"];
/// How the programs of a server itself are called, with what follows behind a dash: `code-17b`, `zed-remote-server-0.150`.
const PROGRAMS: [&str; 10] = [
    "code",
    "codium",
    "cursor",
    "windsurf",
    "positron",
    "trae",
    "kiro",
    "antigravity",
    "openvscode",
    "zed",
];
/// Compilers that are scripts of a server's node.
const COMPILERS: [&str; 3] = ["tsc", "tsc.js", "_tsc.js"];
/// The main class of an IDE of `JetBrains`; others that its runtime runs build, or are somebody's.
const MAIN: &str = "com.intellij.idea.Main";
/// Options of Java with the value in the next word.
const VALUES: [&str; 8] = [
    "-cp",
    "-classpath",
    "--class-path",
    "-p",
    "--module-path",
    "--add-modules",
    "--add-opens",
    "--add-exports",
];
/// The starters of IDEs of `JetBrains`.
const STARTERS: [&str; 16] = [
    "remote-dev-server",
    "launcher",
    "idea",
    "pycharm",
    "goland",
    "clion",
    "rubymine",
    "webstorm",
    "phpstorm",
    "rider",
    "rustrover",
    "datagrip",
    "dataspell",
    "fsnotifier",
    "jetbrains-toolbox",
    "jcef_helper",
];

/// A path that leads into an installation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place<'a> {
    /// The product, for people.
    pub(super) product: &'static str,
    /// The way from the installation's folder on.
    inner: &'a str,
}

impl<'a> Place<'a> {
    /// Where a path leads.
    pub(super) fn of(path: &'a str) -> Option<Self> {
        let folder = FOLDERS.iter().find_map(|(folder, product)| {
            let (_, inner) = path.split_once(folder)?;
            Some(Self { product, inner })
        });
        let root = || {
            ROOTS.iter().find_map(|(root, product)| {
                let inner = path.strip_prefix(root)?;
                let inner = if inner.is_empty() { inner } else { inner.strip_prefix('/')? };
                Some(Self { product, inner })
            })
        };
        folder.or_else(|| release(path)).or_else(root)
    }

    /// Whether it is a script of the server's own or of an extension, and not one that does somebody's bidding.
    pub(super) fn is_own_script(self) -> bool {
        let name = base(self.inner);
        let parts = ["out", "extensions", "node_modules"];
        let known =
            self.inner.is_empty() || self.inner.split('/').any(|part| parts.contains(&part));
        known && !self.bids() && !COMPILERS.contains(&name)
    }

    /// Whether it is a script of the shell that starts the server or looks after it.
    pub(super) fn is_own_shell_script(self) -> bool {
        let name = base(self.inner);
        !self.bids() && (is_server(name) || starts_ide(name) || self.inner.contains("/out/"))
    }

    /// Whether it is a program of the server's own, or the language server of an extension.
    pub(super) fn is_own_program(self, rest: &[&str]) -> bool {
        let name = base(self.inner);
        if self.product == JETBRAINS {
            return match name {
                "java" => runs_main(rest).is_some_and(opens),
                _ => (starts_ide(name) && opens(rest)) || is_known_language_server(name),
            };
        }
        let serves = rest.first().is_some_and(|word| SERVES.contains(word));
        let extension = self.inner.contains("extensions/");
        !self.bids()
            && (is_language_server(name)
                || (is_server(name) && !extension)
                || (serves && extension))
    }

    /// Whether it is a language server that a runtime of the system's or of an extension's is told to run.
    pub(super) fn is_language_server(self) -> bool {
        self.product != JETBRAINS && !self.bids() && is_language_server(base(self.inner))
    }

    /// Only what comes behind the folder of the extension is looked at, as names of users and folders mean nothing.
    fn bids(self) -> bool {
        let inner = self.inner.strip_prefix("extensions/");
        let tail = inner.or_else(|| self.inner.rsplit_once("/extensions/").map(|(_, tail)| tail));
        let tail = tail.unwrap_or_else(|| base(self.inner)).to_ascii_lowercase();
        BIDDING.iter().any(|word| tail.contains(word))
    }
}

/// Whether a program or a script of this name serves a language and does nothing else.
fn is_language_server(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    is_known_language_server(name) || SERVING.iter().any(|word| lower.contains(word))
}

/// The same where nothing but the name tells: wherever the program lies.
pub(super) fn is_known_language_server(name: &str) -> bool {
    LANGUAGE_SERVERS.contains(&name)
}

/// A release as its installer (`~/.local/lib/code-server-4.96.2/`) or its archive (`code-server-4.96.2-linux-amd64/`) lays it out.
/// A folder of another name that begins so may be anything.
fn release(path: &str) -> Option<Place<'_>> {
    let names = [("/code-server-", "code-server"), ("/openvscode-server-v", "OpenVSCode")];
    names.iter().find_map(|(prefix, product)| {
        path.match_indices(prefix).find_map(|(at, prefix)| {
            let rest = path.get(at + prefix.len()..)?;
            let (name, inner) = rest.split_once('/').unwrap_or((rest, ""));
            let version = name.split_once("-linux-").map(|(version, _)| version);
            let installed = path.get(..at).is_some_and(|before| before.ends_with("/lib"));
            let version = version.or_else(|| installed.then_some(name))?;
            is_version(version).then_some(Place { product, inner })
        })
    })
}

fn is_version(text: &str) -> bool {
    text.contains('.') && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
}

fn is_server(name: &str) -> bool {
    PROGRAMS.iter().any(|program| {
        name.strip_prefix(program)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', '_']))
    })
}

fn starts_ide(name: &str) -> bool {
    let name = name.strip_suffix(".sh").unwrap_or(name);
    STARTERS.contains(&name.strip_suffix("64").unwrap_or(name))
}

/// What an IDE of `JetBrains` is told, where its main class is what Java runs.
fn runs_main<'a>(rest: &'a [&'a str]) -> Option<&'a [&'a str]> {
    let mut words = rest;
    while let Some((word, after)) = words.split_first() {
        words = match *word {
            word if VALUES.contains(&word) => after.get(1..)?,
            word if word.starts_with('-') => after,
            word => return (word == MAIN).then_some(after),
        };
    }
    None
}

/// Whether an IDE of `JetBrains` was told to open or to serve something. Other words make it inspect, format or build without anybody.
fn opens(rest: &[&str]) -> bool {
    rest.first().is_none_or(|word| {
        word.starts_with(['/', '-'])
            || ["run", "status", "serverMode"].contains(word)
            || word.starts_with("cwmHost")
    })
}

fn base(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}
