"""Processes that are members of a group: asked and answering in lines of JSON."""

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.raft.load import Load, Sample


class Child:
    """One member: `python -m MODULE CONFIG`, which answers each line with a line."""

    def __init__(self, module: str, config: dict[str, Any], log: Path) -> None:
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module, json.dumps(config)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        self._log = log

    def ask(self, question: object) -> Any:
        """Return the answer; raises RuntimeError with the end of its log when it has none."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(f"{json.dumps(question)}\n")
            self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"a member ended: {self._log.read_text()[-2000:]}")
        return json.loads(answer)

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()


@contextlib.contextmanager
def members(module: str, configs: Sequence[dict[str, Any]], folder: Path) -> Iterator[Sequence[Child]]:
    """Run one member a configuration."""
    children: list[Child] = []
    try:
        for number, config in enumerate(configs, 1):
            children.append(Child(module, config, folder / f"member-{number}.log"))
        yield children
    finally:
        for child in children:
            child.close()


def measure(children: Sequence[Child], load: Load) -> Sample:
    """Let the member that leads carry a load."""
    for child in children:
        answer = child.ask(asdict(load))
        if answer is not None:
            return Sample(**answer)
    raise RuntimeError("no member leads")
