//! Programs that outlive a login and are nobody's job: agents of logins, parts of desktops, daemons of tools, mounts, tunnels and
//! servers that are known by name.
//!
//! A name that is missing here makes the machine wait longer, and `status` names the program. One that is here although somebody
//! waits for it makes a wrong stop. So each is one that a person would not give to a job.

use std::borrow::Cow;

/// Agents that never listen at a port.
const QUIET: [&str; 15] = [
    "ssh-agent", "gpg-agent", "dirmngr", "keyboxd", "scdaemon", "dbus-daemon", "dbus-broker", "dbus-broker-lau",
    "dbus-launch", "systemd", "(sd-pam)", "gpg-connect-agent", "pinentry", "gnome-keyring-daemon", "dconf-service",
];

/// Programs by their whole names.
const PROGRAMS: [&str; 110] = [
    // Sound, settings, input and windows of desktops.
    "pulseaudio", "pipewire", "pipewire-pulse", "pipewire-media-session", "wireplumber", "xsettingsd", "xscreensaver",
    "light-locker", "polkitd", "tumblerd", "xfconfd", "Thunar", "caja", "nautilus", "nm-applet", "blueman-applet",
    "blueman-tray", "baloo_file", "baloo_file_extractor", "ksmserver", "kwalletd5", "kwalletd6", "kded5", "kded6",
    "kglobalaccel5", "kactivitymanagerd", "klauncher", "xembedsniproxy", "xiccd", "zeitgeist-daemon", "zeitgeist-fts",
    "obexd", "geoclue", "Xvfb", "Xephyr", "x11vnc", "websockify", "novnc_proxy", "picom", "compton", "openbox", "fluxbox",
    "dunst", "xclip", "xsel", "wl-copy", "notify-osd", "unclutter", "redshift", "evolution-source-registry",
    "evolution-calendar-factory", "evolution-addressbook-factory", "evolution-alarm-notify", "snap-confine",
    "snap-update-ns", "snapfuse",
    // Daemons of tools that start by themselves and wait for the next call.
    "watchman", "adb", "buck2d", "sccache", "distccd", "iceccd", "eslint_d", "prettierd", "VBCSCompiler", "pantsd",
    "dmypy", "fsnotifier", "fsnotifier64", "rust-analyzer", "clangd", "gopls", "copilot-agent",
    "copilot-language-server",
    // What containers of a user need, mounts, tunnels, and copies that wait for changes.
    "rootlesskit", "slirp4netns", "pasta", "pasta.avx2", "catatonit", "sshfs", "s3fs", "goofys", "mount-s3", "gcsfuse",
    "juicefs", "bindfs", "encfs", "gocryptfs", "fusermount", "fusermount3", "fuse-overlayfs", "autossh", "cloudflared",
    "ngrok", "syncthing", "dropbox", "insync", "onedrive", "lsyncd", "mutagen-agent",
    // Servers.
    "dask-scheduler", "dask-worker", "dask-spec", "raylet", "gcs_server", "plasma_store", "Runner.Listener",
    "Agent.Listener", "minio", "etcd",
];

/// Beginnings of the names of programs.
const FAMILIES: [&str; 27] = [
    "at-spi", "dbus-", "gvfs", "gnome-", "gsd-", "goa-", "gcr-", "xdg-", "tracker-miner", "tracker-extract",
    "tracker-store", "localsearch", "ibus-", "fcitx", "plasmashell", "plasma-", "kscreen", "kdeinit", "kio_", "kioslave",
    "xfce4-", "mate-", "cinnamon-", "indicator-", "ayatana-", "snapd-",
    "gitstatusd",
];

/// Servers of frameworks, by a part of the path of the program or script.
const PATHS: [&str; 4] = ["/ray/dashboard/", "/ray/_private/", "/ray/autoscaler/", "/ray/core/src/ray/"];
/// Servers that are a class of Java's, by its beginning. Tools and clients of the same product often are in the same package and may
/// work for hours.
const CLASSES: [&str; 25] = [
    "org.gradle.launcher.daemon.", "org.jetbrains.kotlin.daemon.", "org.mvndaemon.mvnd.common.MavenDaemon",
    "com.facebook.nailgun.", "org.apache.catalina.startup.Bootstrap", "org.apache.zookeeper.server.quorum.",
    "org.apache.hadoop.hdfs.server.namenode.", "org.apache.hadoop.hdfs.server.datanode.",
    "org.apache.hadoop.hdfs.qjournal.server.", "org.apache.hadoop.yarn.server.", "org.apache.hadoop.mapreduce.v2.hs.",
    "org.apache.spark.deploy.master.", "org.apache.spark.deploy.worker.Worker", "org.apache.spark.deploy.history.",
    "org.elasticsearch.bootstrap.", "org.elasticsearch.server/", "org.opensearch.bootstrap.",
    "org.apache.cassandra.service.", "kafka.Kafka", "org.sonar.server.", "org.sonar.ce.",
    "org.neo4j.server.CommunityEntryPoint", "com.neo4j.server.enterprise.",
    // What starts Elasticsearch and the server of sbt is the same class as their tools.
    "-Dcli.name=server", "--detach-stdio",
];
/// The same behind `-jar`.
const JARS: [&str; 2] = ["A-server.jar", "jenkins.war"];

/// Programs that are helpers with one of these words behind them.
const VERBS: [(&str, &[&str]); 10] = [
    ("rclone", &["mount", "nfsmount", "serve", "rcd"]),
    ("git", &["fsmonitor--daemon", "credential-cache--daemon", "daemon"]),
    ("dask", &["scheduler", "worker"]),
    ("ray", &["start"]),
    ("emacs", &["--daemon", "--fg-daemon", "--bg-daemon"]),
    ("docker", &["dial-stdio"]),
    ("nx", &["daemon"]),
    ("kubectl", &["port-forward", "proxy"]),
    ("aws", &["start-session"]),
    ("tailscale", &["serve", "funnel"]),
];

/// What runs what somebody asks for: scripts of projects, environments, supervisors.
const LAUNCHERS: [&str; 21] = [
    "uv", "uvx", "poetry", "pipenv", "pdm", "hatch", "conda", "mamba", "micromamba", "pixi", "npx", "npm", "yarn", "pnpm",
    "make", "just", "supervisord", "honcho", "foreman", "overmind", "PM2",
];

/// A name is cut at so many bytes by the kernel (`TASK_COMM_LEN`).
const CUT: usize = 15;

/// Whether a program is nobody's job, by its name as the kernel has it and its arguments.
pub(in crate::sources::sessions) fn is_helper(comm: &str, arguments: &[&[u8]]) -> bool {
    let words: Vec<Cow<'_, str>> = arguments.iter().map(|word| String::from_utf8_lossy(word)).collect();
    let words: Vec<&str> = words.iter().map(AsRef::as_ref).collect();
    let program = words.first().map_or(comm, |word| base(word));
    if is_quiet(comm) || is_named(comm) || is_named(program) {
        return true;
    }
    // A client of ssh that keeps a connection for others writes so over its arguments, and so do workers of Ray.
    let first = words.first().copied().unwrap_or_default();
    if (first.starts_with("ssh: ") && first.ends_with("[mux]")) || first.starts_with("ray::IDLE") {
        return true;
    }
    let rest = words.get(1..).unwrap_or_default();
    let interpreter = program.starts_with("python") || ["node", "ruby", "perl"].contains(&program);
    let at = rest.iter().position(|word| !word.starts_with('-')).filter(|_| interpreter);
    let script = at.and_then(|at| rest.get(at)).copied().unwrap_or_default();
    let is_part = |word: &str| PATHS.iter().any(|part| word.contains(part));
    let is_class = |word: &&str| CLASSES.iter().any(|class| word.starts_with(class));
    let is_jar = |pair: &[&str]| matches!(pair, ["-jar", jar] if JARS.contains(&base(jar)));
    if is_part(first) || is_part(script) || rest.iter().any(is_class) || rest.windows(2).any(is_jar) {
        return true;
    }
    let script = base(script);
    let behind = at.map_or(rest, |at| rest.get(at + 1..).unwrap_or_default());
    is_among(&PROGRAMS, script) || has_verb(program, rest) || has_verb(script, behind)
}

/// Whether a program lets people log in to desktops, rather than being one.
pub(super) fn is_log_in(comm: &str) -> bool {
    ["gdm-session-wor", "lightdm", "sddm-helper", "xrdp-sesman", "Xorg"].contains(&comm)
}

/// Whether a program never listens at a port.
pub(super) fn is_quiet(comm: &str) -> bool {
    is_among(&QUIET, comm)
}

/// Whether a program is what it runs.
pub(super) fn is_launcher(name: &str) -> bool {
    LAUNCHERS.iter().any(|known| *known == name || (*known == "PM2" && name.starts_with("PM2")))
}

fn is_named(name: &str) -> bool {
    !name.is_empty()
        && (is_among(&PROGRAMS, name)
            || FAMILIES.iter().any(|start| name.starts_with(start)))
}

fn is_among(list: &[&str], name: &str) -> bool {
    list.iter().any(|known| *known == name || known.get(..CUT).is_some_and(|cut| cut == name))
}

fn has_verb(program: &str, rest: &[&str]) -> bool {
    let known = VERBS.iter().find(|(name, _)| *name == program);
    known.is_some_and(|(_, verbs)| {
        rest.iter().take(8).any(|word| verbs.iter().any(|verb| word.split('=').next() == Some(verb)))
    })
}

fn base(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn helper(line: &str) -> bool {
        let words: Vec<_> = line.split(' ').map(str::as_bytes).collect();
        let name = base(line.split(' ').next().unwrap());
        is_helper(name.get(..CUT).unwrap_or(name), &words)
    }

    #[test]
    fn what_every_login_and_desktop_leaves_is_nobodys_job() {
        for line in [
            "ssh-agent -s", "/usr/bin/gpg-agent --supervised", "dbus-daemon --fork --session", "/usr/libexec/gvfsd",
            "/usr/bin/pulseaudio --start", "gnome-keyring-daemon --daemonize", "/usr/libexec/at-spi-bus-launcher",
            "rclone mount s3:data /mnt/data", "sshfs host:/x /mnt/x", "autossh -M 0 -N -L 5432:db:5432 host",
            "java -cp x org.gradle.launcher.daemon.bootstrap.GradleDaemon 8.5", "watchman --foreground", "adb -L tcp:5037",
            "python3 /home/a/venv/bin/dask worker tcp://x", "dask scheduler", "git fsmonitor--daemon run",
            "emacs --daemon", "python3 /x/ray/dashboard/dashboard.py --host=x", "ray::IDLE", "Xvfb :99",
            "java -jar /home/a/.cache/bazel/install/7/A-server.jar --max_idle_secs=1", "java -Dx=y -jar jenkins.war",
            "java -cp x org.apache.cassandra.service.CassandraDaemon", "java -cp x kafka.Kafka server.properties",
            "java -Dproc_namenode org.apache.hadoop.hdfs.server.namenode.NameNode",
            "java -m org.elasticsearch.server/org.elasticsearch.bootstrap.Elasticsearch",
            "kubectl port-forward svc/x 80", "/home/a/.cache/gitstatus/gitstatusd-linux-x86_64 -G v1",
        ] {
            assert!(helper(line), "{line}");
        }
        assert!(is_helper("ssh", &[b"ssh: /home/a/.ssh/cm-x [mux]"]));
        assert!(is_helper("gnome-keyring-d", &[]), "as the kernel cuts it");
    }

    #[test]
    fn doubt_is_a_job() {
        for line in [
            "python3 train.py", "./watch_queue", "rclone copy a b", "rclone sync a b", "bash sweep.sh", "sleep 5400",
            "python3 -m pipeline", "node crawl.js", "java -jar etl.jar", "git clone x", "aws s3 sync a b", "Rscript x.R",
            "python3 ray_train.py", "ray::train()", "dask-submit x", "docker run x", "emacs --batch x", "kubectl wait x",
            "/opt/gnomon/run", "ssh host make", "python3 make.py",
            "aws ssm send-command x", "mlflow run .", "turbo run build", "snap-aligner single x",
            "java -Dproc_jar org.apache.hadoop.util.RunJar etl.jar", "java -cp x org.apache.hadoop.tools.DistCp a b",
            "java org.apache.hadoop.util.RunJar hive-cli.jar org.apache.hadoop.hive.cli.CliDriver",
            "java -cp x org.apache.hadoop.hdfs.tools.DFSck /", "java -cp x org.apache.cassandra.tools.NodeTool repair",
            "java -cp x org.apache.cassandra.tools.BulkLoader x", "java -cp x org.apache.solr.util.SimplePostTool x",
            "java -cp x org.neo4j.cli.AdminTool database import", "java -cp x org.elasticsearch.hadoop.Load",
            "java -Dcassandra=org.apache.cassandra.service.CassandraDaemon Load", "java -cp x xsbt.boot.Boot test",
            "java -cp x org.apache.spark.deploy.SparkSubmit x", "curl -O https://get.jenkins.io/war/jenkins.war",
            "java -cp x org.apache.spark.deploy.worker.DriverWrapper x", "rsync -a /home/a/ray/dashboard/ b", "plasma_sim", "",
        ] {
            assert!(!helper(line), "{line}");
        }
    }

    #[test]
    fn runners_are_what_they_run() {
        assert!(is_launcher("uv") && is_launcher("PM2 v5.3.0: God Daemon (/home/a/.pm2)"));
        assert!(!is_launcher("python3") && !is_launcher("makefile"));
    }
}
