"""Two network namespaces, managers in one and many agents in the other. Needs root."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from bench.sessions import credentials

MANAGERS_ADDR, AGENTS_ADDR = "10.77.0.1", "10.77.0.2"
WARM_UP_S = 15.0


@dataclass(frozen=True, slots=True)
class Result:
    """What was seen after warming up."""

    windows: list[float]  # the longest silence of each agent in each 30 s, sorted
    down: int  # how often a node was declared down
    sessions: list[int]  # by manager
    managers_cpu: float  # cores
    agents_cpu: float
    managers_mb: float
    period_s: float


def measure(managers: int, agents: int, seconds: float, loss_percent: int, log: Path | None) -> Result:
    """Let agents be connected for so long."""
    output = log or Path(os.devnull)
    with (
        tempfile.TemporaryDirectory() as folder,
        namespaces(loss_percent) as (left, right),
        output.open("w") as stream,
    ):
        credentials.make(Path(folder), managers, agents)
        addrs = [f"{MANAGERS_ADDR}:{2400 + number}" for number in range(managers)]
        times = ("--seconds", str(seconds), "--warm-up", str(WARM_UP_S))
        with _started(left, "managers", folder, *addrs, *times, stderr=stream) as serving:
            assert serving.stdout is not None
            serving.stdout.readline()  # they listen
            with _started(right, "agents", folder, *addrs, stdout=stream, stderr=stream) as connected:
                return _result(serving.stdout, connected.pid)


def _result(lines: IO[str], agents_pid: int) -> Result:
    down, agents_cpu_s = 0, 0.0
    for line in lines:
        said: dict[str, Any] = json.loads(line)
        if "measuring" in said:
            down, agents_cpu_s = 0, _cpu_s(agents_pid)
        elif "state" in said:
            down += said["state"] == "NODE_STATE_DOWN"
        elif "windows" in said:
            return Result(
                windows=sorted(said["windows"]),
                down=down,
                sessions=said["sessions"],
                managers_cpu=said["cpu_s"] / said["seconds"],
                agents_cpu=(_cpu_s(agents_pid) - agents_cpu_s) / said["seconds"],
                managers_mb=said["resident_mb"],
                period_s=said["period_s"],
            )
    raise SystemExit("the managers ended early")


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def _started(namespace: str, module: str, *words: str, **streams: Any) -> Iterator[subprocess.Popen[str]]:
    command = ["ip", "netns", "exec", namespace, sys.executable, "-m", f"bench.sessions.{module}", *words]
    streams.setdefault("stdout", subprocess.PIPE)
    process = subprocess.Popen(command, text=True, **streams)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@contextmanager
def namespaces(loss_percent: int) -> Iterator[tuple[str, str]]:
    """Two namespaces with a wire between them that loses so many packets in each direction."""
    left, right = f"bench-m{os.getpid()}", f"bench-a{os.getpid()}"
    try:
        for name in (left, right):
            _do("ip", "netns", "add", name)
            _do("ip", "-n", name, "link", "set", "lo", "up")
        _do(
            "ip", "-n", left, "link", "add", "wire0", "type", "veth", "peer", "name", "wire1", "netns", right
        )
        for name, link, addr in ((left, "wire0", MANAGERS_ADDR), (right, "wire1", AGENTS_ADDR)):
            _do("ip", "-n", name, "addr", "add", f"{addr}/24", "dev", link)
            _do("ip", "-n", name, "link", "set", link, "up")
        if loss_percent:
            _do("ip", "netns", "exec", right, "nft", _losing(loss_percent))
        yield left, right
    finally:
        for name in (left, right):
            subprocess.run(["ip", "netns", "del", name], check=False)


def _losing(percent: int) -> str:
    rule = f"numgen random mod 100 < {percent} drop"
    chains = (
        f"chain {hook} {{ type filter hook {hook} priority -5; {rule}; }}" for hook in ("input", "output")
    )
    return f"table ip packet_loss {{ {'; '.join(chains)}; }}"


def _do(*words: str) -> None:
    subprocess.run(words, check=True)
