"""How is the OCI runtime started to create a container, with as few programs as possible? Blocks."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from swarm.runtime.oci.binaries import CRUN, STARTER, entering, starter_words
from swarm.runtime.oci.private_mounts import PrivateMounts
from swarm.runtime.oci.probe import Choice
from swarm.runtime.oci.sealed import SealedProgram
from swarm.runtime.starter.seccomp import PROGRAM_ANNOTATION


class Invocation:
    """The words that start a runtime; good as long as this is not closed, and we live."""

    def __init__(self, choice: Choice) -> None:
        """Copy the runtime's program, unless it is our own, which is no single file."""
        self.choice = choice
        self._sealed = SealedProgram(choice.program) if choice.program else None
        self._mounts = PrivateMounts(choice.hide) if choice.hide else None
        self._enter = entering() if choice.hide else ()
        # Whether the list of system calls may be left out beside the program that was made of it.
        self.takes_filters = choice.name == STARTER or _knows_filters(choice)

    @contextmanager
    def words(self) -> Iterator[Sequence[str]]:
        """Yield what to put before the runtime's own arguments, for one start of it; raises OSError."""
        program = self._sealed.path if self._sealed else self.choice.executable
        if self.choice.name == STARTER:
            yield starter_words()
        elif self._mounts is None:
            yield (program,)
        elif not self._enter:
            yield (self.choice.executable,)
        else:
            with self._mounts.namespace() as namespace:
                yield (*self._enter, f"--mount=/proc/{os.getpid()}/fd/{namespace}", "--", program)

    def close(self) -> None:
        """Let go of the copy and the threads."""
        if self._sealed is not None:
            self._sealed.close()
        if self._mounts is not None:
            self._mounts.close()


def _knows_filters(choice: Choice) -> bool:
    try:
        return choice.name in CRUN and PROGRAM_ANNOTATION.encode() in Path(choice.program).read_bytes()
    except OSError:
        return False
