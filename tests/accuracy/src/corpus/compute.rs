//! B: programs that compute, copy and wait, and programs that only hold something.

use crate::scenario::{Scenario, scene};
use crate::signals::{Jupyter, Left, Place};

/// The group.
pub(super) fn all() -> Vec<Scenario> {
    let mut all = processors();
    all.extend(threads());
    all.extend(bursts());
    all.extend(gpus());
    all.extend(gpus_hardly_used());
    all.extend(gpus_held());
    all.extend(traffic());
    all.extend(waiting());
    all
}

fn processors() -> Vec<Scenario> {
    vec![
        scene("B01", "make -j8 in detached tmux, 40 min, 8 vCPU", 500)
            .during(0.0, 40.0, |s| {
                s.user_cpu = 7.6;
                s.tmux = true;
                s.pts = 1;
                s.disk = 4e6;
                s.disk_user = 4e6;
            })
            .during(40.0, 500.0, |s| {
                s.tmux = true;
                s.pts = 1;
            })
            .job(0.0, 40.0),
        scene("B20", "pod of a local Kubernetes, 0.5 core of 16, 3 h", 700)
            .cpus(16)
            .during(0.0, 180.0, |s| {
                s.user_cpu = 0.5;
                s.place = Place::Container;
            })
            .job(0.0, 180.0),
        scene("B21", "docker run -d job, 1 core of 32, 4 h", 800)
            .cpus(32)
            .during(0.0, 240.0, |s| {
                s.user_cpu = 1.0;
                s.place = Place::Container;
            })
            .job(0.0, 240.0),
        scene("B22", "job of systemd-run, nice 19, 0.7 core of 64, 4 h", 800)
            .cpus(64)
            .during(0.0, 240.0, |s| {
                s.user_cpu = 0.7;
                s.place = Place::Transient;
                s.left = Left::SystemdRun;
            })
            .job(0.0, 240.0),
    ]
}

fn threads() -> Vec<Scenario> {
    vec![
        scene("B23", "single-thread job, 1 core of 16 (6.25 %), nohup, 5 h", 900)
            .cpus(16)
            .during(0.0, 300.0, |s| {
                s.user_cpu = 1.0;
                s.left = Left::Nohup;
            })
            .job(0.0, 300.0),
        scene("B26", "one thread of a 192-core machine, nohup, 3 h", 700)
            .cpus(192)
            .during(0.0, 180.0, |s| {
                s.user_cpu = 1.0;
                s.left = Left::Nohup;
            })
            .job(0.0, 180.0),
        scene("B19", "t3 out of credits: wants 1 core, gets .2, steal .8, 2 vCPU, 3 h", 700)
            .cpus(2)
            .during(0.0, 180.0, |s| {
                s.user_cpu = 0.2;
                s.steal = 0.8;
            })
            .job(0.0, 180.0),
        scene("B44", "a small job, 0.12 core of 8, 3 h", 700)
            .during(0.0, 180.0, |s| s.user_cpu = 0.12)
            .job(0.0, 180.0),
        scene("B28", "t3.micro starved: wants 1 core, gets .04, steal .96, 1 h", 600)
            .cpus(2)
            .during(0.0, 60.0, |s| {
                s.user_cpu = 0.04;
                s.steal = 0.96;
            })
            .job(0.0, 60.0),
    ]
}

fn bursts() -> Vec<Scenario> {
    vec![
        scene("B11", "queue worker: 4 min of 6 cores every 25 min, 8 vCPU", 480)
            .bursts(0.0, 480.0, 1500, 240, |s| s.user_cpu = 6.0)
            .keep(),
        scene("B12", "poller: 90 s of one core every 20 min", 480)
            .bursts(0.0, 480.0, 1200, 90, |s| s.user_cpu = 1.0)
            .keep(),
        scene("B17", "crawler 1 request/30 s (3 KB), 0.002 core, nohup, 6 h", 900)
            .during(0.0, 360.0, |s| {
                s.user_cpu = 0.002;
                s.net = 600.0;
                s.net_user = 100.0;
                s.left = Left::Nohup;
            })
            .job(0.0, 360.0),
        scene("B25", "nohup sh -c \"sleep 5400; ./run\" then 30 min of 4 cores", 600)
            .during(0.0, 120.0, |s| s.left = Left::Nohup)
            .during(90.0, 120.0, |s| s.user_cpu = 4.0)
            .job(0.0, 120.0),
        scene("B30", "scraper: 15 s of 0.5 core and 200 KB/s every 5 min, 4 h", 800)
            .bursts(0.0, 240.0, 300, 20, |s| {
                s.user_cpu = 0.5;
                s.net = 2e5;
                s.net_user = 2e5;
                s.pkts = 200.0;
            })
            .job(0.0, 240.0),
    ]
}

fn gpus() -> Vec<Scenario> {
    vec![
        scene("B02", "one of 8 GPUs at 60 %, 0.04 core of 96, 4 h", 800)
            .cpus(96)
            .during(0.0, 240.0, |s| {
                s.gpu(8, 0.0);
                s.gpus[5] = Some(60.0);
                s.gpu_procs = 1;
                s.user_cpu = 0.04;
            })
            .during(240.0, 800.0, |s| s.gpu(8, 0.0))
            .job(0.0, 240.0),
        scene("B03", "GPU training 95 %, 1.5 cores of 96, 5 h", 900)
            .cpus(96)
            .during(0.0, 300.0, |s| {
                s.user_cpu = 1.5;
                s.gpu(8, 95.0);
                s.gpu_procs = 8;
                s.sky_job = true;
            })
            .during(300.0, 900.0, |s| s.gpu(8, 0.0))
            .job(0.0, 300.0),
        scene("B04", "inference: GPU 20 s busy, 70 s idle, 0.03 core, 4 h", 800)
            .cpus(48)
            .during(0.0, 800.0, |s| s.gpu(1, 0.0))
            .during(0.0, 240.0, |s| {
                s.gpu_procs = 1;
                s.user_cpu = 0.03;
            })
            .bursts(0.0, 240.0, 90, 20, |s| s.gpu(1, 80.0))
            .job(0.0, 240.0),
    ]
}

fn gpus_hardly_used() -> Vec<Scenario> {
    vec![
        scene("B05", "small RL job: GPU 3-4 %, 1 core of 48, 5 h", 900)
            .cpus(48)
            .during(0.0, 300.0, |s| {
                s.user_cpu = 1.0;
                s.gpu(1, 4.0);
                s.gpu_procs = 1;
            })
            .during(300.0, 900.0, |s| s.gpu(1, 0.0))
            .job(0.0, 300.0),
        scene("B46", "a small model serves requests: GPU 2.5 %, 0.02 core, 2 h", 700)
            .during(0.0, 700.0, |s| s.gpu(1, 0.0))
            .during(0.0, 120.0, |s| {
                s.gpu(1, 2.5);
                s.gpu_procs = 1;
                s.user_cpu = 0.02;
            })
            .job(0.0, 120.0),
        scene("B06", "DDP waits at a barrier: GPU spins at 100 %, 1 core of 96, 90 min", 700)
            .cpus(96)
            .during(0.0, 90.0, |s| {
                s.user_cpu = 1.0;
                s.gpu(4, 100.0);
                s.gpu_procs = 4;
            })
            .during(90.0, 700.0, |s| s.gpu(4, 0.0))
            .job(0.0, 90.0),
        scene("B24", "training stalls: GPU 0 for 8 of every 20 min while data is loaded", 700)
            .cpus(32)
            .during(0.0, 700.0, |s| s.gpu(1, 0.0))
            .during(0.0, 180.0, |s| {
                s.gpu_procs = 1;
                s.user_cpu = 0.04;
                s.disk = 4e7;
                s.disk_user = 4e7;
            })
            .bursts(0.0, 180.0, 1200, 720, |s| {
                s.gpu(1, 90.0);
                s.gpu_procs = 1;
                s.user_cpu = 1.0;
            })
            .job(0.0, 180.0),
        scene("B32", "rendering: graphics only, GPU 35 %, 0.03 core, 2 h", 700)
            .during(0.0, 700.0, |s| {
                s.gfx = true;
                s.gpu(1, 0.0);
            })
            .during(0.0, 120.0, |s| {
                s.gpu(1, 35.0);
                s.user_cpu = 0.03;
            })
            .job(0.0, 120.0),
    ]
}

fn gpus_held() -> Vec<Scenario> {
    vec![
        scene("B07", "kernel holds 20 GB GPU memory, 0 %, no client, 10 h", 600).always(|s| {
            s.gpu(1, 0.0);
            s.gpu_procs = 1;
            s.jup = Jupyter::Idle;
        }),
        scene("B08", "inference server without requests spins at 0.03 core, 10 h (a choice)", 600)
            .cpus(48)
            .always(|s| {
                s.gpu(1, 0.0);
                s.gpu_procs = 1;
                s.user_cpu = 0.03;
                s.place = Place::Container;
            }),
        scene("B09", "MIG: device utilisation unsupported, job on slice, 0.3 core of 96, 5 h", 900)
            .cpus(96)
            .during(0.0, 300.0, |s| {
                s.user_cpu = 0.3;
                s.gpus = vec![None];
                s.mig = true;
                s.gpu_procs = 1;
            })
            .during(300.0, 900.0, |s| {
                s.gpus = vec![None];
                s.mig = true;
            })
            .job(0.0, 300.0),
        scene(
            "B10",
            "NVML fails for 2 h while a process computes at 0.04 core, then recovers",
            700,
        )
        .cpus(48)
        .during(0.0, 700.0, |s| s.gpu(1, 0.0))
        .during(0.0, 120.0, |s| {
            s.gpu_err = true;
            s.gpu_procs = 1;
            s.user_cpu = 0.04;
        })
        .job(0.0, 120.0),
        scene("B48", "MIG slice: a process holds memory and sleeps, 10 h", 600).always(|s| {
            s.gpus = vec![None];
            s.mig = true;
            s.gpu_procs = 1;
        }),
        scene("B34", "MIG slice computes, 0.02 core of 96, 3 h", 700)
            .cpus(96)
            .during(0.0, 700.0, |s| {
                s.gpus = vec![None];
                s.mig = true;
            })
            .during(0.0, 180.0, |s| {
                s.gpu_procs = 1;
                s.user_cpu = 0.02;
            })
            .job(0.0, 180.0),
    ]
}

fn traffic() -> Vec<Scenario> {
    vec![
        scene("B13", "local copy EBS 60 MB/s, 0.08 core of 16, iowait 0.9", 700)
            .cpus(16)
            .during(0.0, 120.0, |s| {
                s.user_cpu = 0.08;
                s.iowait = 0.9;
                s.dstate = 1;
                s.disk = 6e7;
                s.disk_user = 6e7;
            })
            .job(0.0, 120.0),
        scene("B15", "nohup download 5 MB/s, 50 min", 500)
            .during(0.0, 50.0, |s| {
                s.user_cpu = 0.05;
                s.net = 5e6;
                s.net_user = 5e6;
                s.pkts = 3600.0;
                s.disk = 5e6;
                s.disk_user = 5e6;
                s.left = Left::Nohup;
            })
            .job(0.0, 50.0),
        scene("B16", "training reads S3 at 30 MB/s, 0.04 core of 32, 2 h", 700)
            .cpus(32)
            .during(0.0, 120.0, |s| {
                s.user_cpu = 0.04;
                s.net = 3e7;
                s.net_user = 3e7;
                s.pkts = 21_000.0;
            })
            .job(0.0, 120.0),
        scene("B36", "rclone to a slow server, 20 KB/s, 0.004 core, 3 h", 700)
            .during(0.0, 180.0, |s| {
                s.user_cpu = 0.004;
                s.net = 20_000.0;
                s.net_user = 20_000.0;
                s.pkts = 30.0;
            })
            .job(0.0, 180.0),
        scene("B42", "log analysis reads 600 KB/s, 0.02 core, 90 min", 600)
            .during(0.0, 90.0, |s| {
                s.user_cpu = 0.02;
                s.disk = 6e5;
                s.disk_user = 6e5;
            })
            .job(0.0, 90.0),
        scene("B38", "database dump to disk, 2 MB/s, 0.03 core, 90 min", 600)
            .during(0.0, 90.0, |s| {
                s.user_cpu = 0.03;
                s.disk = 2e6;
                s.disk_user = 2e6;
            })
            .job(0.0, 90.0),
    ]
}

fn waiting() -> Vec<Scenario> {
    vec![
        scene("B14", "NFS hangs: a job in D state without progress, 10 h (a choice)", 600).always(
            |s| {
                s.dstate = 1;
                s.iowait = 1.0;
            },
        ),
        scene(
            "B18",
            "thrashing: 0.04 core, every task waits for memory 30 % of the time, 90 min",
            600,
        )
        .during(0.0, 90.0, |s| {
            s.user_cpu = 0.04;
            s.mem_full = 30.0;
            s.iowait = 1.5;
            s.dstate = 3;
            s.disk = 3e7;
        })
        .job(0.0, 90.0),
        scene("B40", "job of a batch scheduler waits 80 min for a licence, then computes", 700)
            .during(0.0, 150.0, |s| s.batch = true)
            .during(80.0, 150.0, |s| {
                s.batch = true;
                s.user_cpu = 2.0;
            })
            .job(0.0, 150.0),
    ]
}
