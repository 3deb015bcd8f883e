//! Whose processor time it is: sessions, units, containers, what others start.

use std::io;

use agent_cells::case::{Case, Right};
use agent_cells::cell::Cell;

const SESSION: &str = "user.slice/user-1000.slice/session-3.scope";
/// Some processor time that is above the limit of people's work; that of a unit made here; of a package's server.
const PEOPLE: f64 = 0.075;
const LOCAL: f64 = 0.105;
const SERVER: f64 = 0.155;

/// The cases.
pub(crate) const CASES: &[Case] = &[
    Case::new("idle", Right::Stop, 0.02, |_| Ok(())),
    Case::new("session", Right::Keep, PEOPLE, |cell| {
        cell.run_as(1000, SESSION, "python3", "cpu 0.07")
    }),
    Case::new("session-that-ends", Right::StopAfter(25), PEOPLE, |cell| {
        cell.run_as(1000, SESSION, "python3", "cpu 0.12 25")
    }),
    Case::new("session-of-short-processes", Right::Keep, 0.1, |cell| {
        cell.run_as(1000, SESSION, "make", "bursts 40 0.07")
    }),
    Case::new("session-of-300-forks", Right::Keep, 0.25, |cell| {
        cell.run_as(1000, SESSION, "configure", "forks 300")
    }),
    Case::new("unit-of-root", Right::Keep, LOCAL, |cell| {
        cell.local_unit("train.service", "/opt/train")?;
        cell.run("system.slice/train.service", "/opt/train", "cpu 0.1")
    }),
    Case::new("unit-of-root-that-ends", Right::StopAfter(25), LOCAL, |cell| {
        cell.local_unit("train.service", "/opt/train")?;
        cell.run("system.slice/train.service", "/opt/train", "cpu 0.12 25")
    }),
    Case::new("unit-of-root-of-short-processes", Right::Keep, LOCAL, |cell| {
        cell.local_unit("batch.service", "/opt/batch")?;
        cell.run("system.slice/batch.service", "/opt/batch", "bursts 40 0.1")
    }),
    Case::new("unit-of-root-almost-idle", Right::Stop, 0.03, |cell| {
        cell.local_unit("metrics.service", "/opt/metrics")?;
        cell.run("system.slice/metrics.service", "/opt/metrics", "cpu 0.03")
    }),
    Case::new("unit-of-systemd-run", Right::Keep, PEOPLE, |cell| {
        cell.file("/run/systemd/transient/train.service", "[Service]\nExecStart=/opt/train\n")?;
        cell.run("system.slice/train.service", "/opt/train", "cpu 0.07")
    }),
    Case::new("unit-without-a-file", Right::Keep, LOCAL, |cell| {
        cell.run("system.slice/who-knows.service", "who", "cpu 0.1")
    }),
    Case::new("unit-of-a-template", Right::Keep, LOCAL, |cell| {
        cell.local_unit("train@.service", "/opt/train %i")?;
        cell.run("system.slice/system-train.slice/train@1-main.service", "train", "cpu 0.1")
    }),
    Case::new("unit-in-a-slice-of-its-own", Right::Keep, PEOPLE, |cell| {
        cell.local_unit("train.service", "/opt/train")?;
        cell.run("ml.slice/ml-train.slice/train.service", "train", "cpu 0.07")
    }),
    Case::new("unit-with-a-group-below", Right::Keep, LOCAL, |cell| {
        cell.local_unit("farm.service", "/opt/farm")?;
        cell.run("system.slice/farm.service/worker-7", "farm", "cpu 0.1")
    }),
    Case::new("unit-of-init-script", Right::Keep, LOCAL, |cell| {
        let unit =
            "[Unit]\nSourcePath=/etc/init.d/render\n[Service]\nExecStart=/etc/init.d/render\n";
        cell.file("/run/systemd/generator.late/render.service", unit)?;
        cell.file("/etc/init.d/render", "#!/bin/sh\n")?;
        cell.run("system.slice/render.service", "render", "cpu 0.1")
    }),
    Case::new("jenkins-build", Right::Keep, SERVER, |cell| {
        cell.packaged_unit("jenkins", "jenkins.service", "/usr/bin/jenkins")?;
        cell.run_as(114, "system.slice/jenkins.service", "java", "chain sh,cc1 cpu 0.15")
    }),
    Case::new("packaged-server-works", Right::Keep, SERVER, |cell| {
        cell.packaged_unit("postgresql-15", "postgresql@.service", "/usr/bin/pg_ctlcluster")?;
        let group = "system.slice/system-postgresql.slice/postgresql@15-main.service";
        cell.run_as(998, group, "postgres", "cpu 0.15")
    }),
    // Above the limit of a unit that was made here, below that of a package's server.
    Case::new("packaged-server-keeps-house", Right::Stop, 0.1, |cell| {
        cell.packaged_unit("postgresql-15", "postgresql@.service", "/usr/bin/pg_ctlcluster")?;
        let group = "system.slice/system-postgresql.slice/postgresql@15-main.service";
        cell.run_as(998, group, "postgres", "cpu 0.1")
    }),
    Case::new("packaged-unit-copied-to-etc-works", Right::Keep, SERVER, |cell| {
        cell.packaged_unit("nginx", "nginx.service", "/usr/sbin/nginx")?;
        cell.local_unit("nginx.service", "/usr/sbin/nginx")?;
        cell.run("system.slice/nginx.service", "nginx", "cpu 0.15")
    }),
    Case::new("ten-units-share-a-load", Right::Keep, 0.13, |cell| {
        for number in 0..10 {
            let unit = format!("shard{number}.service");
            cell.local_unit(&unit, "/opt/shard")?;
            cell.run(&format!("system.slice/{unit}"), "shard", "cpu 0.012")?;
        }
        Ok(())
    }),
    Case::new("ten-packaged-units-share-a-load", Right::Keep, 0.16, |cell| {
        for number in 0..10 {
            let unit = format!("db{number}.service");
            cell.packaged_unit(&format!("db{number}"), &unit, "/usr/bin/db")?;
            cell.run(&format!("system.slice/{unit}"), "db", "cpu 0.015")?;
        }
        Ok(())
    }),
    Case::new("ten-users-share-a-load", Right::Keep, 0.15, |cell| {
        for number in 2000..2010 {
            let group = format!("user.slice/user-{number}.slice/session-{number}.scope");
            cell.run_as(number, &group, "R", "cpu 0.012")?;
        }
        Ok(())
    }),
    Case::new("people-units-and-servers-share-a-load", Right::Keep, 0.18, |cell| {
        cell.local_unit("train.service", "/opt/train")?;
        cell.packaged_unit("db", "db.service", "/usr/bin/db")?;
        cell.run_as(1000, SESSION, "R", "cpu 0.03")?;
        cell.run("system.slice/train.service", "train", "cpu 0.05")?;
        cell.run("system.slice/db.service", "db", "cpu 0.07")
    }),
    Case::new("process-in-the-root-group", Right::Keep, PEOPLE, |cell| {
        cell.run("", "rescue", "cpu 0.07")
    }),
    Case::new("process-in-init-scope", Right::Keep, PEOPLE, |cell| {
        cell.run("init.scope", "leftover", "cpu 0.07")
    }),
    Case::new("buildkit-step", Right::Keep, PEOPLE, |cell| {
        cell.run("system.slice/system.slice:docker:jvif0kq2mz8x", "cc1plus", "cpu 0.07")
    }),
    Case::new("nerdctl-build", Right::Keep, PEOPLE, |cell| {
        cell.run("system.slice/system.slice:nerdctl:8d3f5a", "cc1plus", "cpu 0.07")
    }),
    Case::new("docker-container", Right::Keep, PEOPLE, |cell| {
        cell.run("system.slice/docker-4f1a0c.scope", "python", "cpu 0.07")
    }),
    Case::new("kind-cluster-at-rest", Right::Stop, 0.17, kind),
    Case::new("kind-cluster-with-a-pod-at-work", Right::Keep, 0.25, |cell| {
        kind(cell)?;
        cell.run(KIND_POD, "python3", "cpu 0.08")
    }),
    Case::new("docker-container-by-cgroupfs", Right::Keep, PEOPLE, |cell| {
        cell.run("docker/4f1a0c", "python", "cpu 0.07")
    }),
    Case::new("quadlet-container", Right::Keep, PEOPLE, |cell| {
        let unit = "[Unit]\nSourcePath=/etc/containers/systemd/web.container\n[Service]\n";
        cell.file("/run/systemd/generator/web.service", unit)?;
        cell.run("system.slice/web.service/libpod-payload-9ad1", "web", "cpu 0.07")
    }),
    Case::new("nspawn-container", Right::Keep, PEOPLE, |cell| {
        cell.run("machine.slice/systemd-nspawn@build.service/payload", "make", "cpu 0.07")
    }),
    Case::new("lxc-container", Right::Keep, PEOPLE, |cell| {
        cell.run("lxc.payload.build", "make", "cpu 0.07")
    }),
    Case::new("kubernetes-pod", Right::Keep, PEOPLE, |cell| {
        cell.run(
            "kubepods.slice/kubepods-burstable.slice/cri-containerd-77.scope",
            "app",
            "cpu 0.07",
        )
    }),
    Case::new("container-in-the-group-of-its-daemon", Right::Keep, PEOPLE, |cell| {
        cell.packaged_unit("containerd", "containerd.service", "/usr/bin/containerd")?;
        cell.run("system.slice/containerd.service", "containerd", "cpu 0.005")?;
        let chain = "chain containerd-shim-runc-v2,python cpu 0.1";
        cell.run("system.slice/containerd.service", "containerd-shim", chain)
    }),
    Case::new("group-by-hand", Right::Keep, 0.125, |cell| {
        cell.run("experiments/run7", "a.out", "cpu 0.1")
    }),
    Case::new("idle-game-container-with-a-limit", Right::Stop, 0.125, |cell| {
        cell.run("system.slice/docker-4f1a0c.scope", "enshrouded", "cpu 0.1")
    })
    .config("[source.cpu.unit.\"docker-4f1a0c.scope\"]\nbusy_above = 0.3\n"),
    Case::new("idle-game-unit-with-a-limit", Right::Stop, 0.125, |cell| {
        cell.local_unit("game.service", "/opt/game")?;
        cell.run("system.slice/game.service", "game", "cpu 0.1")
    })
    .config("[source.cpu.unit.\"game.service\"]\nbusy_above = 0.3\n"),
    Case::new("game-unit-above-its-limit", Right::Keep, 0.2, |cell| {
        cell.local_unit("game.service", "/opt/game")?;
        cell.run("system.slice/game.service", "game", "cpu 0.2")
    })
    .config("[source.cpu.unit.\"game.service\"]\nbusy_above = 0.15\n"),
    Case::new("upkeep-keeps-house", Right::Stop, 0.1, upkeep_keeps_house),
    Case::new("upkeep-runs-away", Right::Keep, 0.21, |cell| {
        cell.packaged_unit("falcon-sensor", "falcon-sensor.service", "/opt/falcond")?;
        cell.run("system.slice/falcon-sensor.service", "falcon-sensor", "cpu 0.2")
    }),
    Case::new("work-once-in-a-while", Right::Keep, 0.15, |cell| {
        cell.run_as(1000, SESSION, "train", "pulse 4 40")
    }),
    Case::new("sessions-that-come-and-go", Right::Keep, 0.1, |cell| {
        let load = "groups user.slice/user-1000.slice/session- .scope 1000 2.5 0.09";
        cell.run("init.scope", "systemd", load)
    }),
    Case::new("units-that-come-and-go", Right::Keep, 0.14, |cell| {
        cell.local_unit("job@.service", "/opt/job")?;
        let load = "groups system.slice/system-job.slice/job@ .service 0 2.5 0.13";
        cell.run("init.scope", "systemd", load)
    }),
    Case::new("pods-that-come-and-go", Right::Keep, 0.1, |cell| {
        cell.run("init.scope", "systemd", "groups kubepods/pod /c 0 2.5 0.09")
    }),
    Case::new("group-by-hand-in-system-slice", Right::Keep, LOCAL, |cell| {
        cell.run("system.slice/experiments", "a.out", "cpu 0.1")
    }),
    Case::new("processes-of-a-socket-unit", Right::Keep, SERVER, |cell| {
        cell.run("system.slice/ingest.socket", "ingest", "cpu 0.15")
    }),
    Case::new("jenkins-build-in-java", Right::Keep, 0.1, |cell| {
        cell.packaged_unit("jenkins", "jenkins.service", "/usr/bin/jenkins")?;
        cell.run_as(114, "system.slice/jenkins.service", "java", "chain sh,java cpu 0.09")
    }),
    Case::new("session-of-a-packaged-rstudio", Right::Keep, 0.1, |cell| {
        cell.packaged_unit("rstudio-server", "rstudio-server.service", "/usr/lib/rstudio/rserver")?;
        cell.run_as(998, "system.slice/rstudio-server.service", "rserver", "sleep")?;
        cell.run_as(1000, "system.slice/rstudio-server.service", "rsession", "cpu 0.09")
    }),
    Case::new("desktop-of-a-packaged-xrdp", Right::Keep, 0.1, |cell| {
        cell.packaged_unit("xrdp", "xrdp-sesman.service", "/usr/sbin/xrdp-sesman")?;
        cell.run("system.slice/xrdp-sesman.service", "xrdp-sesman", "sleep")?;
        cell.run_as(1000, "system.slice/xrdp-sesman.service", "blender", "cpu 0.09")
    }),
    Case::new("step-of-a-packaged-slurm", Right::Keep, 0.1, |cell| {
        cell.packaged_unit("slurmd", "slurmd.service", "/usr/sbin/slurmd")?;
        cell.run("system.slice/slurmd.service", "slurmd", "sleep")?;
        cell.run_as(1000, "system.slice/slurmd.service", "slurm_script", "chain python3 cpu 0.09")
    }),
    Case::new("job-at-the-serial-console", Right::Keep, PEOPLE, |cell| {
        let name = "serial-getty@ttyS0.service";
        cell.packaged_unit("systemd", "serial-getty@.service", "/sbin/agetty")?;
        let group = format!("system.slice/system-serial\\x2dgetty.slice/{name}");
        cell.run(&group, "login", "chain bash,train cpu 0.07")
    }),
    Case::new("ordinary-machine-that-is-idle", Right::Stop, 0.2, ordinary_machine),
];

/// What every machine has, a little of each.
fn upkeep_keeps_house(cell: &Cell) -> io::Result<()> {
    for (package, name) in [
        ("openssh-server", "sshd"),
        ("chrony", "chrony"),
        ("amazon-ssm-agent", "amazon-ssm-agent"),
        ("systemd", "systemd-journald"),
        ("fail2ban", "fail2ban"),
    ] {
        let unit = format!("{name}.service");
        cell.packaged_unit(package, &unit, &format!("/usr/sbin/{name}"))?;
        cell.run(&format!("system.slice/{unit}"), name, "cpu 0.02")?;
    }
    Ok(())
}

/// A web server, a data base, a container and a unit of one's own, none of which is used, on a machine that is kept.
fn ordinary_machine(cell: &Cell) -> io::Result<()> {
    upkeep_keeps_house(cell)?;
    cell.packaged_unit("nginx", "nginx.service", "/usr/sbin/nginx")?;
    cell.packaged_unit("postgresql-15", "postgresql@.service", "/usr/bin/pg_ctlcluster")?;
    cell.local_unit("dashboard.service", "/opt/dashboard")?;
    cell.run("system.slice/nginx.service", "nginx", "cpu 0.002")?;
    let group = "system.slice/system-postgresql.slice/postgresql@15-main.service";
    cell.run_as(998, group, "postgres", "cpu 0.02")?;
    cell.run("system.slice/dashboard.service", "dashboard", "cpu 0.015")?;
    cell.run("system.slice/docker-4f1a0c.scope", "redis-server", "cpu 0.01")
}

const KIND: &str = "system.slice/docker-4f1a0c.scope";
const KIND_POD: &str = "system.slice/docker-4f1a0c.scope/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-podbe4.slice/cri-containerd-9.scope";

/// A node of kind without a pod of anybody's.
fn kind(cell: &Cell) -> io::Result<()> {
    cell.run(&format!("{KIND}/kubelet.slice/kubelet.service"), "kubelet", "cpu 0.03")?;
    for (name, load) in
        [("kube-apiserver", "cpu 0.07"), ("etcd", "cpu 0.04"), ("kube-scheduler", "cpu 0.02")]
    {
        cell.run(KIND_POD, name, load)?;
    }
    Ok(())
}
