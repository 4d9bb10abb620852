"""What does a seccomp profile of a user's own mean for one container on this node?

Pure: Docker's form in, the OCI form out.
"""

import re
from collections.abc import Set
from typing import Any

from swarm.model.seccomp import names_of, rules_of

# Machines as profiles of Docker call them in `arches`.
_ARCHES = {"SCMP_ARCH_X86_64": "amd64", "SCMP_ARCH_AARCH64": "arm64", "SCMP_ARCH_RISCV64": "riscv64"}


def oci_profile(
    profile: dict[str, Any], architecture: str, capabilities: Set[str], kernel: str
) -> dict[str, Any]:
    """Return the `linux.seccomp` section for a profile that `read_profile` accepted.

    Rules for other capabilities, architectures and kernels are left out. Without `architectures` of its own
    it is for `architecture` and what its `archMap` says goes with it; `kernel` is the node's release.
    """
    section: dict[str, Any] = {"defaultAction": profile["defaultAction"]}
    if profile.get("defaultErrnoRet") is not None:
        section["defaultErrnoRet"] = profile["defaultErrnoRet"]
    section["architectures"] = profile.get("architectures") or _with_sub_architectures(profile, architecture)
    if profile.get("flags"):
        section["flags"] = list(profile["flags"])
    about = (_ARCHES.get(architecture, ""), frozenset(capabilities), _numbers(kernel))
    section["syscalls"] = [_rule(rule) for rule in rules_of(profile) if _applies(rule, *about)]
    return section


def _with_sub_architectures(profile: dict[str, Any], architecture: str) -> list[str]:
    for one in profile.get("archMap") or []:
        if one.get("architecture") == architecture:
            return [architecture, *(one.get("subArchitectures") or [])]
    return [architecture]


def _rule(rule: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {"names": names_of(rule), "action": rule["action"]}
    if rule.get("errnoRet") is not None:
        found["errnoRet"] = rule["errnoRet"]
    if rule.get("args"):
        found["args"] = [
            {key: one[key] for key in ("index", "value", "valueTwo", "op") if key in one}
            for one in rule["args"]
        ]
    return found


def _applies(rule: dict[str, Any], arch: str, capabilities: frozenset[str], kernel: tuple[int, int]) -> bool:
    wanted, unwanted = rule.get("includes") or {}, rule.get("excludes") or {}
    if wanted.get("arches") and arch not in wanted["arches"]:
        return False
    if arch in (unwanted.get("arches") or []):
        return False
    if not set(wanted.get("caps") or []) <= capabilities:
        return False
    if set(unwanted.get("caps") or []) & capabilities:
        return False
    if wanted.get("minKernel") and kernel < _numbers(wanted["minKernel"]):
        return False
    return not (unwanted.get("minKernel") and kernel >= _numbers(unwanted["minKernel"]))


def _numbers(release: str) -> tuple[int, int]:
    found = re.match(r"(\d+)\.(\d+)", release)
    return (int(found[1]), int(found[2])) if found else (0, 0)
