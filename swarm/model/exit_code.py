"""What does the exit code of a container mean, in words?"""

import signal
from collections.abc import Mapping

SIGNAL_BASE = 128  # a process that a signal ended has this plus the signal's number as its exit code
_KILLED = 128 + signal.SIGKILL

_MEANINGS: Mapping[int, str] = {
    126: "its command was found, but could not be run: not executable, or no permission",
    127: "its command was not found in the image",
    128 + signal.SIGSEGV: "it crashed by touching memory that is not its own (SIGSEGV)",
    128 + signal.SIGABRT: "it gave up by itself (SIGABRT), as after a failed assertion",
    128
    + signal.SIGILL: "it crashed on an unknown instruction (SIGILL): is the image for another processor?",
    128 + signal.SIGTERM: "it was asked to stop (SIGTERM), but not by this cluster",
    128 + signal.SIGINT: "it was interrupted (SIGINT), but not by this cluster",
    128 + signal.SIGPIPE: "it wrote to a pipe that nobody read any more (SIGPIPE)",
}


def exit_reason(exit_code: int, *, oom_killed: bool = False, memory_limit: str = "") -> str:
    """Return why a container ended that nobody stopped, e.g. `exit code 127: its command was not found …`.

    `memory_limit` is the limit as people read it, empty without one.
    """
    meaning = _meaning(exit_code, oom_killed, memory_limit)
    return f"exit code {exit_code}: {meaning}" if meaning else f"exit code {exit_code}"


def _meaning(exit_code: int, oom_killed: bool, memory_limit: str) -> str:
    if oom_killed:
        used = (
            f"the container used its limit of {memory_limit}" if memory_limit else "the node had none left"
        )
        who = "OOMKilled" if exit_code == _KILLED else "a process of it was OOMKilled before"
        return f"{who}, out of memory: {used}"
    if exit_code == _KILLED:
        return (
            "it was killed (SIGKILL): by somebody on its node, or by the kernel because the node itself had "
            "no memory left"
        )
    return _MEANINGS.get(exit_code) or _signal_name(exit_code)


def _signal_name(exit_code: int) -> str:
    try:
        return f"it was ended by {signal.Signals(exit_code - SIGNAL_BASE).name}"
    except ValueError:
        return ""
