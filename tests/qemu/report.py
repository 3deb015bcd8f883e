#!/usr/bin/env python3
"""What the accounts said of each load, and whether they closed.

    report.py LINES-OF-THE-MACHINE
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

#: Cores, and bytes a second: from there on a rest counts as work.
CPU, DISK, NETWORK = 0.05, 131_072.0, 2000.0
#: So many looks see the end of the load before: one each ten seconds, and a value is the mean of a minute.
WINDOW = 6
#: The same as a part of everything.
CPU_PART, DISK_PART = 0.02, 0.3


def lines(path: Path) -> Iterable[dict]:
    for text in path.read_text(errors="replace").splitlines():
        try:
            yield json.loads(text)
        except json.JSONDecodeError:
            continue


def spread(values: list[float]) -> str:
    if not values:
        return "-"
    return f"mean {sum(values) / len(values):.4f}, most {max(values):.4f}"


def main() -> int:
    told: dict[str, list[dict]] = {}
    ends: dict[str, dict] = {}
    done = False
    for line in lines(Path(sys.argv[1])):
        if "kernel" in line:
            print(f"Linux {line['kernel']}, {line['cpus']} CPUs, schedstat {'there' if line['scheduler'] else 'not there'}")
        elif "why" in line:
            told.setdefault(line["load"], []).append(line["why"])
        elif "after" in line:
            ends[line["load"]] = line
        done |= bool(line.get("done"))
    bad = [] if done else ["it did not come to its end"]
    for load, end in ends.items():
        before, after = end["before"], end["after"]
        grown = {key: after[key] - before[key] for key in before if before[key] is not None and after[key] is not None}
        span = grown["at"]
        rate = {key: value / span for key, value in grown.items()}
        booked = rate["groups"] + rate["threads"]
        ran = rate.get("ran", rate["not_idle"])
        rest = {name: rate[name] - booked for name in ("ran", "not_idle", "ticks") if name in rate}
        disk_rest = rate["disk"] - rate["disk_groups"]
        print(f"\n{load}: {span:.0f} s, all CPUs {ran:.4f} core, groups {rate['groups']:.4f}, kernel threads {rate['threads']:.4f}")
        print(
            f"  rest by schedstat {rest.get('ran', float('nan')):+.4f}, by the idle time {rest['not_idle']:+.4f}, "
            f"by the busy columns {rest['ticks']:+.4f}"
        )
        print(f"  disk {rate['disk']:.0f} B/s, groups {rate['disk_groups']:.0f}, rest {disk_rest:+.0f}; card {rate['card']:.0f} B/s")
        main_rest = rest.get("ran", rest["not_idle"])
        if not -0.02 <= main_rest <= max(CPU, CPU_PART * ran):
            bad.append(f"{load}: a rest of {main_rest:+.4f} core")
        for source, limit in (("cpu", CPU), ("disk", DISK), ("network", NETWORK)):
            values: dict[str, list[float]] = {}
            accounts: set[str] = set()
            verdicts: Counter[str] = Counter()
            booked_most: dict[str, float] = {}
            for look in told.get(load, []):
                for signal in look:
                    if signal.get("source") != source:
                        continue
                    if "subject" not in signal:
                        verdicts[str(signal.get("verdict"))] += 1
                    elif signal.get("role") == "unexplained":
                        values.setdefault(signal["subject"], []).append(signal.get("value") or 0.0)
                    elif str(signal["subject"]).startswith("account of"):
                        accounts.add(str(signal.get("owner")))
                    else:
                        role = str(signal.get("role"))
                        booked_most[role] = max(booked_most.get(role, 0.0), signal.get("value") or 0.0)
            print(f"  agent, {source}: {', '.join(f'{verdict} {count} times' for verdict, count in verdicts.items())}")
            busy, looks = verdicts["busy"], sum(verdicts.values())
            # The beginning of a load is seen when it has filled a window, and the end of the one before is in it.
            if end["use"] == source and busy < looks * 0.7:
                bad.append(f"{load}: {source} was busy in {busy} of {looks} looks only")
            if end["use"] is None and busy > WINDOW:
                bad.append(f"{load}: {source} was busy in {busy} of {looks} looks")
            # That of the network is told only where it cannot be kept.
            if (not values or not accounts) and source != "network":
                bad.append(f"{load}: the agent tells of no account of {source}")
            for role, most in sorted(booked_most.items()):
                print(f"  agent, {source}: at most {most:.4f} of {role}")
            for subject, of in values.items():
                print(f"  agent, {source}: {subject}: {spread(of)}")
                # A connection that ended may be work that nobody can be named for; what no account explains may not.
                if subject.endswith("explains") and sum(of) / len(of) >= limit:
                    bad.append(f"{load}: the agent takes {subject} for work")
            for account in sorted(accounts):
                print(f"  agent, {source}: {account}")
                if "cannot be kept" in account:
                    bad.append(f"{load}: the account of {source} {account}")
    for fault in bad:
        print(f"NOT CLOSED: {fault}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
