"""Containers and images on one node: ours, dockerd and podman (where it is installed), side by side.

Every number is the median of rounds in which all take turns, so that a slow minute of the machine hits all
of them. Needs root, docker.io and docker-registry; the variable PODMAN may name
podman's program.

    python -m bench.runtime [--rounds N] [--containers N] [--megabytes N] [--quick]
"""

import argparse
import shutil
import socket
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

from bench.runtime.docker import Docker
from bench.runtime.images import FILES, LARGE, LAYERS, SMALL, Registry, large_layer, shell_layer
from bench.runtime.ours import Ours, memory_of_a_worker
from bench.runtime.podman import Podman, program

BASE = "dockerd"  # whom the others are compared with


class Engine(Protocol):
    """What is measured."""

    name: str

    def pull(self, repository: str) -> float: ...
    def start(self, repository: str, count: int) -> float: ...
    def stop(self) -> None: ...
    def close(self) -> None: ...


Results = dict[str, dict[str, list[float]]]  # by what is measured, by engine


def take_turns(
    engines: Sequence[Engine], rounds: int, what: str, measure: Callable[[Engine], float], results: Results
) -> None:
    """Measure every engine once a round; each round begins with another one."""
    for number in range(rounds):
        shift = number % len(engines)
        for engine in (*engines[shift:], *engines[:shift]):
            took = measure(engine)
            results.setdefault(what, {}).setdefault(engine.name, []).append(took)
            print(f"  {what}: {engine.name} {took:.3f}", file=sys.stderr, flush=True)


def started(count: int) -> Callable[[Engine], float]:
    """Return the measurement of the seconds that each of `count` containers takes."""

    def measure(engine: Engine) -> float:
        took_s = engine.start(SMALL, count)
        engine.stop()
        return took_s / count

    return measure


def run(rounds: int, containers: int, megabytes: int) -> Results:
    """Measure everything."""
    results: Results = {}
    folder = Path(tempfile.mkdtemp(prefix="bench-runtime-"))
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        registry = Registry(folder, _free_port())
        stack.callback(registry.close)
        registry.push(SMALL, [shell_layer()], ["sleep", "100000"])
        file_bytes = megabytes * 1_000_000 // (LAYERS * FILES)
        registry.push(LARGE, [large_layer(one, file_bytes) for one in range(LAYERS)], ["/none"])
        # Where a machine has /run: neither engine keeps there what is to survive a reboot.
        memory = Path("/dev/shm") / folder.name
        memory.mkdir(mode=0o700)
        stack.callback(shutil.rmtree, memory, ignore_errors=True)
        engines: list[Engine] = []
        for kind in (Ours, Docker, Podman):
            if kind is Podman and not program():
                print("  podman is not installed", file=sys.stderr)
                continue
            engine = kind(folder, memory, registry.address)
            stack.callback(engine.close)
            engines.append(engine)
        for engine in engines:  # everything has been done once, and the small image is there
            engine.pull(SMALL)
            engine.start(SMALL, 1)
            engine.stop()
        take_turns(engines, rounds, "start 1 container, s", started(1), results)
        name = f"start {containers} at once, s per container"
        take_turns(engines, rounds, name, started(containers), results)
        name = f"pull and unpack {megabytes} MB, s"
        take_turns(engines, rounds, name, lambda engine: engine.pull(LARGE), results)
        _memory(engines, containers, results)
    return results


def _memory(engines: Sequence[Engine], containers: int, results: Results) -> None:
    """Measure once: memory does not depend on how busy the machine is."""
    (docker,) = (one for one in engines if isinstance(one, Docker))
    docker.start(SMALL, containers)
    measured = {BASE: docker.memory()}
    docker.stop()
    measured["swarm"] = memory_of_a_worker(containers)
    for name, (pss, rss) in measured.items():
        for kind, found in (("PSS", pss), ("RSS", rss)):
            what = f"memory with {containers} containers, {kind}, MiB per container"
            results.setdefault(what, {})[name] = [found / 1024 / containers]


def show(results: Results) -> None:
    """Print the table."""
    names = list(dict.fromkeys(name for row in results.values() for name in row))
    print("| | " + " | ".join(names) + f" | swarm / {BASE} |\n|" + "---|" * (len(names) + 2))
    for what, row in results.items():
        medians = {name: statistics.median(values) for name, values in row.items()}
        cells = [f"{medians[name]:.3f}" if name in medians else "-" for name in names]
        print(f"| {what} | " + " | ".join(cells) + f" | {medians['swarm'] / medians[BASE]:.2f} |")


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--containers", type=int, default=50)
    parser.add_argument("--megabytes", type=int, default=250)
    parser.add_argument("--quick", action="store_true", help="small numbers: does it work?")
    given = parser.parse_args()
    if given.quick:
        given.rounds, given.containers, given.megabytes = 1, 4, 20
    show(run(given.rounds, given.containers, given.megabytes))


if __name__ == "__main__":
    main()
