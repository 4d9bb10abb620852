"""pysyncobj as it comes, in three processes over plain TCP, with or without its journal (never synced)."""

import contextlib
import json
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pysyncobj import SyncObj, SyncObjConf, replicated

from bench.raft.children import measure, members
from bench.raft.load import WARM_UP_S, Load, Sample, summary
from bench.raft.ports import free_ports

MEMBERS = 3
READY_S = 30.0


def running(
    *, journal: bool
) -> Callable[[Path], "contextlib.AbstractContextManager[Callable[[Load], Sample]]"]:
    """Return what runs a group with or without a journal."""

    @contextlib.contextmanager
    def run(folder: Path) -> Iterator[Callable[[Load], Sample]]:
        addrs = [f"127.0.0.1:{port}" for port in free_ports(MEMBERS)]
        configs = [
            {
                "self": addr,
                "others": [other for other in addrs if other != addr],
                "journal": str(folder / f"journal-{number}") if journal else None,
            }
            for number, addr in enumerate(addrs)
        ]
        with members("bench.raft.stock", configs, folder) as children:
            for child in children:
                child.ask("wait")
            time.sleep(1.0)  # so that all agree on the leader
            yield lambda load: measure(children, load)

    return run


# A member.


class Count(SyncObj):
    """Counts the commands."""

    def __init__(self, config: dict[str, Any]) -> None:
        # Its snapshots would stop everything for a moment; ours are taken meanwhile.
        options = SyncObjConf(
            journalFile=config["journal"], logCompactionMinEntries=10**9, logCompactionMinTime=10**9
        )
        super().__init__(config["self"], config["others"], options)
        self.count = 0

    @replicated
    def add(self, payload: bytes) -> None:
        self.count += 1


def drive(group: Count, load: Load) -> Sample:
    """Keep so many commands under way from callbacks: nothing in between costs time."""
    payload = os.urandom(load.size)
    latencies: list[float] = []
    begin = time.perf_counter() + WARM_UP_S
    end = begin + load.seconds
    left = load.inflight
    over = threading.Event()

    def submit() -> None:
        started = time.perf_counter()

        def done(_: object, error: int) -> None:
            nonlocal left
            now = time.perf_counter()
            if started >= begin and not error:
                latencies.append(now - started)
            if now < end:
                submit()
            else:
                left -= 1
                if not left:
                    over.set()

        group.add(payload, callback=done)

    for _ in range(load.inflight):
        submit()
    over.wait(load.seconds + READY_S)
    return summary(latencies, time.perf_counter() - begin)


def _main() -> None:
    logging.basicConfig(level=logging.CRITICAL + 1)  # it logs each entry that it takes back
    group = Count(json.loads(sys.argv[1]))
    for line in sys.stdin:
        question = json.loads(line)
        answer = None
        if question == "wait":
            end = time.monotonic() + READY_S
            while not group.isReady() and time.monotonic() < end:
                time.sleep(0.02)
        elif group._isLeader():
            answer = asdict(drive(group, Load(**question)))
        print(json.dumps(answer), flush=True)
    os._exit(0)


if __name__ == "__main__":
    _main()
