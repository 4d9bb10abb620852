"""Which system calls may a container make? The list is data (seccomp.json); this turns it into the OCI
form."""

import base64
import errno
import json
import platform
from functools import cache
from importlib.resources import files
from typing import Any

from swarm.runtime.starter.seccomp import PROGRAM_ANNOTATION, compile_filter, syscall_numbers

# Only the native architecture: each further one doubles the time that it takes to build the filter, and a
# program for another one is refused instead of slipping past the list.
_ARCHITECTURES = {
    "x86_64": "SCMP_ARCH_X86_64",
    "aarch64": "SCMP_ARCH_AARCH64",
    "riscv64": "SCMP_ARCH_RISCV64",
}


def native_architecture(machine: str = "") -> str | None:
    """Return the machine's architecture as seccomp profiles name it, None for one that nobody has looked
    at."""
    return _ARCHITECTURES.get(machine or platform.machine())


@cache
def default_profile(machine: str = "", capabilities: frozenset[str] = frozenset()) -> dict[str, Any] | None:
    """Return the `linux.seccomp` section of a container that has these capabilities.

    None on an architecture that nobody has looked at.
    """
    architecture = native_architecture(machine)
    if architecture is None:
        return None
    rules = json.loads(files("swarm.runtime.oci").joinpath("seccomp.json").read_text("utf-8"))
    more = [name for one in sorted(capabilities) for name in rules["allow_with"].get(one, [])]
    allowed = [*(name for group in rules["allow"].values() for name in group), *dict.fromkeys(more)]
    refused = [name for name in rules["refuse"] if name not in more]
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": errno.ENOSYS,
        "architectures": [architecture],
        "syscalls": [
            {"names": allowed, "action": "SCMP_ACT_ALLOW"},
            *(_conditional(rule) for rule in rules["allow_when"] if not set(rule["names"]) <= set(more)),
            {"names": refused, "action": "SCMP_ACT_ERRNO", "errnoRet": errno.EPERM},
        ],
    }


@cache
def default_filter(capabilities: frozenset[str]) -> dict[str, str]:
    """Return the annotation with the default list, for these capabilities, as a finished program.

    Without it a runtime compiles the list for each container.
    """
    machine = platform.machine()
    profile = default_profile(capabilities=capabilities)
    if profile is None:
        return {}
    program = compile_filter(profile, machine, syscall_numbers(machine))
    return {PROGRAM_ANNOTATION: base64.b64encode(program).decode("ascii")}


def without_rules(profile: dict[str, Any]) -> dict[str, Any]:
    """Return a profile that says only what happens to calls that no rule allows.

    For a runtime that takes a finished program: reading the names takes it half a millisecond. One that
    did not take it would let nothing run.
    """
    return {key: value for key, value in profile.items() if key != "syscalls"}


def _conditional(rule: dict[str, Any]) -> dict[str, Any]:
    if "mask" in rule:
        argument = {"value": rule["mask"], "valueTwo": rule["equals"], "op": "SCMP_CMP_MASKED_EQ"}
    elif "equals" in rule:
        argument = {"value": rule["equals"], "op": "SCMP_CMP_EQ"}
    else:
        argument = {"value": rule["differs_from"], "op": "SCMP_CMP_NE"}
    return {
        "names": rule["names"],
        "action": "SCMP_ACT_ALLOW",
        "args": [{"index": rule["index"], **argument}],
    }
