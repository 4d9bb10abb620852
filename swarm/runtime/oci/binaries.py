"""Which programs run containers here: crun or runc, and conmon; what takes their place, and the wrappers."""

import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from swarm.runtime.state import write_atomically

# The sbin directories: a service manager's PATH may lack them, and Debian's runc is there.
SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
INSTALL_HINT = "apt-get install crun conmon"
# Our own OCI runtime and shim, in Python alone: docs/decisions/0035.
STARTER = "starter"
INSTALLED = ("crun", "runc")  # best first
CRUN_HIDDEN = "crun-private-mounts"
CRUN = frozenset({"crun", CRUN_HIDDEN})
STARTER_SHIM = "starter-shim"
_TRIAL_S = 10.0
_OWN = Path(__file__).parents[1] / "starter"


@dataclass(frozen=True, slots=True)
class Runtime:
    """One way to run an OCI runtime."""

    name: str  # crun, crun-private-mounts, runc, starter
    program: str
    hide_unified: str = ""  # mount point of the cgroup2 file system that the program must not see


def find(program: str) -> str | None:
    """Return a program's path, None when it is not installed."""
    return shutil.which(program, path=SEARCH_PATH)


def candidates(preference: Sequence[str], unified_beside_v1: Path | None) -> list[Runtime]:
    """Return the ways that might work here, best first.

    `unified_beside_v1` is where cgroup version 2 is mounted on a machine whose controllers are on version 1.
    There crun refuses to start while version 2 still offers any controller, unless it does not see that
    mount.
    """
    found: list[Runtime] = []
    for name in preference:
        program = sys.executable if name == STARTER else find(name)
        if program is None:
            continue
        found.append(Runtime(name, program))
        if name == "crun" and unified_beside_v1 is not None:
            found.append(Runtime(CRUN_HIDDEN, program, str(unified_beside_v1)))
    return found


def wrapper_script(runtime: Runtime) -> str:
    """Return a script that runs our own runtime, or one in a mount namespace without the cgroup2 mount."""
    if runtime.name == STARTER:
        return _python_script("__main__.py")
    program, hidden = shlex.quote(runtime.program), shlex.quote(runtime.hide_unified)
    inner = shlex.quote(f'umount -n {hidden} && exec {program} "$@"')
    return f'#!/bin/sh\nexec unshare --mount --propagation slave -- /bin/sh -c {inner} {program} "$@"\n'


def executable(runtime: Runtime, directory: Path) -> str:
    """Return what to start for this runtime; writes the wrapper into `directory` if it needs one."""
    if not runtime.hide_unified and runtime.name != STARTER:
        return runtime.program
    path = directory / runtime.name
    write_atomically(path, wrapper_script(runtime).encode(), 0o700)
    return str(path)


def shim(directory: Path, preference: Sequence[str]) -> str:
    """Return what holds containers: conmon, else a script for our own shim, written into `directory`.

    Who wants the starter alone wants to depend on no program.
    """
    conmon = find("conmon")
    if conmon is not None and list(preference) != [STARTER]:
        return conmon
    path, script = directory / STARTER_SHIM, _python_script("shim.py").encode()
    if not path.exists() or path.read_bytes() != script:  # its age is part of what the self-test holds for
        write_atomically(path, script, 0o700)
    return str(path)


def entering() -> tuple[str, ...]:
    """Return the words in front of `--mount=NAMESPACE -- PROGRAM`, none where nothing does that. Blocks.

    busybox has to load one library or none, and takes half the time; it may have been built without this.
    """
    busybox, nsenter = find("busybox"), find("nsenter")
    words = (busybox or "", "nsenter")
    if busybox and _enters(words):
        return words
    return (nsenter,) if nsenter else ()


def _enters(words: Sequence[str]) -> bool:
    command = [*words, "--mount=/proc/self/ns/mnt", "--", words[0], "true"]
    with suppress(OSError, subprocess.SubprocessError):
        return subprocess.run(command, capture_output=True, timeout=_TRIAL_S, check=False).returncode == 0
    return False


def starter_words() -> tuple[str, ...]:
    """Return what starts our own runtime without the script around it."""
    return _python_words("__main__.py")


def _python_words(name: str) -> tuple[str, ...]:
    # Without what an installation adds to Python: a program starts for every container and every command.
    return (sys.executable, "-I", "-S", str(_OWN / name))


def _python_script(name: str) -> str:
    return f'#!/bin/sh\nexec {shlex.join(_python_words(name))} "$@"\n'
