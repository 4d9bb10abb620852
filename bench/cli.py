"""How long people wait for the command line: ours beside Docker's, each asking its own daemon, taking turns.

Processor time counts most where other programs run: it is what the command itself needs. Needs root and
Debian's docker.io for Docker's side, and a cluster to ask for ours (`swarmctl dev up`).

    python -m bench.cli [--rounds N] [--host ADDRESS] [--json]
"""

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

START_S = 60.0
TARGETS_S = {"--version": 0.150, "a list": 0.250}


@dataclass(frozen=True)
class Pair:
    """The same question to both."""

    name: str
    ours: Sequence[str]
    docker: Sequence[str]


PAIRS = (
    Pair("--version", ["--version"], ["--version"]),
    Pair("--help", ["--help"], ["--help"]),
    Pair("a list", ["service", "ls"], ["ps"]),
)


@contextmanager
def dockerd() -> Iterator[str]:
    """Run a dockerd in folders of its own; yield its address."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        address = f"unix://{folder}/sock"
        command = [
            "dockerd",
            "--data-root",
            f"{folder}/root",
            "--exec-root",
            f"{folder}/exec",
            "-H",
            address,
        ]
        command += ["--pidfile", f"{folder}/pid", "--bridge=none", "--iptables=false", "--ip6tables=false"]
        with Path(folder, "log").open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        try:
            end = time.monotonic() + START_S
            while subprocess.run(
                ["docker", "-H", address, "ps"], capture_output=True, check=False
            ).returncode:
                if time.monotonic() > end or process.poll() is not None:
                    raise RuntimeError(Path(folder, "log").read_text()[-1000:])
                time.sleep(0.2)
            yield address
        finally:
            process.terminate()
            process.wait(60)


def timed(command: Sequence[str]) -> tuple[float, float]:
    """Run a command; return seconds of the clock and of the processor."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.monotonic()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    wall_s = time.monotonic() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall_s, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measure(ours: Sequence[str], docker: Sequence[str] | None, rounds: int) -> list[dict[str, object]]:
    """Return a row for each question: medians of both, in seconds."""
    rows = []
    for pair in PAIRS:
        taken: dict[str, list[tuple[float, float]]] = {"swarm": [], "docker": []}
        for _ in range(rounds):
            taken["swarm"].append(timed([*ours, *pair.ours]))
            if docker is not None:
                taken["docker"].append(timed([*docker, *pair.docker]))
        row: dict[str, object] = {"what": pair.name, "target_s": TARGETS_S.get(pair.name)}
        for name, found in taken.items():
            if found:
                row[f"{name}_wall_s"] = round(statistics.median(one[0] for one in found), 4)
                row[f"{name}_cpu_s"] = round(statistics.median(one[1] for one in found), 4)
                row[f"{name}_least_s"] = round(min(one[0] for one in found), 4)
        rows.append(row)
    return rows


COLUMNS = ("swarm_cpu_s", "swarm_wall_s", "swarm_least_s", "docker_cpu_s", "docker_wall_s", "target_s")


def show(rows: Sequence[dict[str, object]]) -> None:
    """Print a table of milliseconds."""
    titles = [column.removesuffix("_s").replace("_", " ") for column in COLUMNS]
    print(f"{'median ms':<12}" + "".join(f"{title:>14}" for title in titles))
    for row in rows:
        cells = [row.get(column) for column in COLUMNS]
        shown = [f"{1000 * float(str(one)):.0f}" if one is not None else "" for one in cells]
        print(f"{row['what']!s:<12}" + "".join(f"{one:>14}" for one in shown))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=15, help="times each command is run (default 15)")
    parser.add_argument("--host", default=os.environ.get("SWARMCTL_HOST", ""), help="where our cluster is")
    parser.add_argument("--json", action="store_true", help="print JSON")
    given = parser.parse_args()
    if not given.host:
        parser.error("--host or SWARMCTL_HOST: which cluster? (swarmctl dev up; swarmctl dev env)")
    ours = [str(Path(sys.executable).with_name("swarmctl")), "--host", given.host]
    if shutil.which("dockerd") is None or os.geteuid() != 0:
        rows = measure(ours, None, given.rounds)
    else:
        with dockerd() as address:
            rows = measure(ours, ["docker", "-H", address], given.rounds)
    load = os.getloadavg()[0] / (os.cpu_count() or 1)
    if given.json:
        print(json.dumps({"load_per_core": round(load, 2), "rows": rows}))
        return
    show(rows)
    print(f"({given.rounds} rounds; {load:.1f} programs want each core: on a quiet machine less than 1)")


if __name__ == "__main__":
    main()
