"""Inside the machine: one load after the other, and what the accounts say of each, as lines of JSON on the second serial port.

The rests are measured twice: as the agent tells them (`agentctl why --json`), and from the kernel's counters, read here once at the
beginning and once at the end of each load.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
TICK = os.sysconf("SC_CLK_TCK")
STEP = 10.0
KERNEL_THREAD = 0x200000

BUSY = "import os,time\nend=time.monotonic()+{seconds}\nwhile time.monotonic()<end: sum(range(5000))"
#: It forks and waits a hundred times a second, and each child ends at once.
FORKS = """import os,time
end=time.monotonic()+{seconds}
while time.monotonic()<end:
    began=time.monotonic()
    for _ in range(10):
        pid=os.fork()
        if pid==0: os._exit(0)
        os.waitpid(pid,0)
    time.sleep(max(0.0,0.1-(time.monotonic()-began)))"""
#: It works for 1 ms right after its timer fires, 100 times a second: in phase with the tick, which hardly sees it.
POLLER = """import time
end=time.monotonic()+{seconds}
while time.monotonic()<end:
    time.sleep(0.009)
    stop=time.perf_counter()+0.001
    while time.perf_counter()<stop: pass"""
#: 2 MB a second to the disk, written back by the kernel: above the disk's limit, with hardly any processor time.
WRITER = """import os,time
end=time.monotonic()+{seconds}
file=open('/var/tmp/load','wb')
while time.monotonic()<end:
    file.write(bytes(2000000)); file.flush(); time.sleep(1)
    if file.tell()>200000000: file.seek(0)"""
#: 100 KB on a new connection every four seconds, which comes back: none of them lives when somebody looks.
CALLER = """import socket,time
end=time.monotonic()+{seconds}
while time.monotonic()<end:
    began=time.monotonic()
    try:
        with socket.create_connection(('10.0.2.100',7),timeout=20) as there:
            there.settimeout(20)
            there.sendall(bytes(100000)); there.shutdown(socket.SHUT_WR)
            while there.recv(65536): pass
    except OSError: pass
    time.sleep(max(0.0,4-(time.monotonic()-began)))"""

#: Its name, the program, for how many seconds, and the source that must call it use.
LOADS: list[tuple[str, str | None, float, str | None]] = [
    ("idle", None, 1200, None),
    ("one core in a unit", BUSY, 480, "cpu"),
    ("100 forks a second", FORKS, 480, "cpu"),
    ("a poller driven by a timer", POLLER, 480, "cpu"),
    ("2 MB/s to the disk", WRITER, 480, "disk"),
    ("100 kB on a new connection every 4 s", CALLER, 480, "network"),
    ("idle again", None, 480, None),
]


def scheduler() -> int | None:
    """Nanoseconds in which tasks ran, over all CPUs."""
    try:
        lines = Path("/proc/schedstat").read_text().splitlines()
    except FileNotFoundError:
        return None
    return sum(int(line.split()[7]) for line in lines if line.startswith("cpu"))


def groups() -> int:
    """Nanoseconds of all groups at the top."""
    total = 0
    for stat in CGROUPS.glob("*/cpu.stat"):
        total += int(stat.read_text().split()[1])
    return total * 1000


def kernel_threads() -> int:
    """Nanoseconds of all kernel threads."""
    total = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[6]) & KERNEL_THREAD:
            total += (int(fields[11]) + int(fields[12])) * 1_000_000_000 // TICK
    return total


def columns() -> dict[str, float]:
    names = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
    line = Path("/proc/stat").read_text().splitlines()[0].split()[1:9]
    return {name: int(value) / TICK for name, value in zip(names, line, strict=True)}


def disk() -> tuple[int, int]:
    """Bytes of the disk, and of the groups at the top."""
    sectors = 0
    for line in Path("/proc/diskstats").read_text().splitlines():
        fields = line.split()
        if Path(f"/sys/block/{fields[2]}/device").exists():
            sectors += int(fields[5]) + int(fields[9])
    booked = 0
    for stat in CGROUPS.glob("*/io.stat"):
        for word in stat.read_text().split():
            if word.startswith(("rbytes=", "wbytes=")):
                booked += int(word.partition("=")[2])
    return sectors * 512, booked


def card() -> int:
    """Bytes of the network card, both ways."""
    total = 0
    for line in Path("/proc/net/dev").read_text().splitlines()[2:]:
        name, _, fields = line.partition(":")
        if Path(f"/sys/class/net/{name.strip()}/device").exists():
            total += int(fields.split()[0]) + int(fields.split()[8])
    return total


def connect() -> None:
    """Gives the card the address that qemu expects."""
    for device in sorted(Path("/sys/class/net").glob("*/device")):
        name = device.parent.name
        subprocess.run(["ip", "address", "add", "10.0.2.15/24", "dev", name], check=False)
        subprocess.run(["ip", "link", "set", name, "up"], check=False)


def counters() -> dict[str, float | None]:
    moment, ran, booked, threads = time.monotonic(), scheduler(), groups(), kernel_threads()
    whole, of_groups = disk()
    times = columns()
    return {
        "at": moment,
        "ran": None if ran is None else ran / 1e9,
        "not_idle": moment * (os.cpu_count() or 1) - times["idle"] - times["iowait"] - times["steal"],
        "ticks": times["user"] + times["nice"] + times["system"] + times["irq"] + times["softirq"],
        "groups": booked / 1e9,
        "threads": threads / 1e9,
        "disk": whole,
        "disk_groups": of_groups,
        "card": card(),
    }


def why() -> list[dict[str, object]]:
    """What the agent says of the sources that count."""
    told = subprocess.run(["agentctl", "why", "--json"], capture_output=True, text=True, check=False)
    try:
        sources = json.loads(told.stdout)["sources"]
    except (json.JSONDecodeError, KeyError):
        return [{"fault": told.stderr.strip()[:200]}]
    kept = []
    for source in sources:
        if source.get("source") not in ("cpu", "disk", "network"):
            continue
        kept.append({"source": source["source"], "verdict": source.get("verdict"), "value": source.get("value")})
        for signal in source.get("signals", []):
            about = {key: signal.get(key) for key in ("subject", "role", "value", "owner", "verdict")}
            if signal.get("role") in ("unexplained", "upkeep", "ignored") or (signal.get("value") or 0) > 0.01:
                kept.append({"source": source["source"], **about})
    return kept


def main() -> None:
    out = Path(sys.argv[1]).open("w", buffering=1)  # noqa: SIM115 - it is open until the machine is off

    def tell(**line: object) -> None:
        out.write(json.dumps(line) + "\n")

    scale = float(sys.argv[2]) if len(sys.argv) > 2 else 1.0
    connect()
    tell(kernel=os.uname().release, cpus=os.cpu_count(), scheduler=scheduler() is not None)
    time.sleep(120 * min(scale, 1.0))
    for name, program, whole, use in LOADS:
        seconds = whole * scale
        before = counters()
        end = time.monotonic() + seconds
        running = None
        if program is not None:
            command = ["systemd-run", "--quiet", "--unit=load", "--collect", "--wait", "--slice=system.slice"]
            body = program.format(seconds=seconds - 5)
            running = subprocess.Popen([*command, "python3", "-c", body], stderr=subprocess.DEVNULL)
        while time.monotonic() < end:
            time.sleep(STEP)
            tell(load=name, at=time.monotonic(), why=why())
        if running is not None:
            running.wait()
        tell(load=name, use=use, before=before, after=counters())
    tell(done=True)
    out.close()
    subprocess.run(["systemctl", "poweroff"], check=False)


if __name__ == "__main__":
    main()
