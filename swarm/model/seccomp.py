"""Is a seccomp profile of a user's own sound? In JSON, in the form that Docker has made known."""

import json
from collections.abc import Iterator
from typing import Any

from swarm.errors import InvalidArgument

ACTIONS = frozenset(
    f"SCMP_ACT_{name}"
    for name in ("ALLOW", "ERRNO", "KILL", "KILL_PROCESS", "KILL_THREAD", "TRAP", "TRACE", "LOG")
)
OPERATORS = frozenset(f"SCMP_CMP_{name}" for name in ("NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"))
CONDITIONS = frozenset({"caps", "arches", "minKernel"})


def read_profile(content: bytes) -> dict[str, Any]:
    """Return a profile; raises InvalidArgument with what is wrong with it."""
    try:
        profile = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise InvalidArgument(f"the seccomp profile is not JSON: {error}") from None
    if not isinstance(profile, dict):
        raise InvalidArgument("the seccomp profile is not a JSON object")
    for problem in _profile_problems(profile):
        raise InvalidArgument(f"the seccomp profile {problem}")
    return profile


def rules_of(profile: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the rules of a profile."""
    return profile.get("syscalls") or []


def names_of(rule: dict[str, Any]) -> list[str]:
    """Return the system calls that a rule is about; old profiles name one."""
    return rule.get("names") or ([rule["name"]] if rule.get("name") else [])


def _profile_problems(profile: dict[str, Any]) -> Iterator[str]:
    if not _is_one_of(profile.get("defaultAction"), ACTIONS):
        known = ", ".join(sorted(ACTIONS))
        yield f'has the defaultAction "{profile.get("defaultAction")}", not one of {known}'
    if not _is_number(profile.get("defaultErrnoRet")):
        yield "has a defaultErrnoRet that is no number"
    for key in ("architectures", "flags"):
        if not _is_texts(profile.get(key) or []):
            yield f"has {key} that are no list of names"
    if not _is_map(profile.get("archMap") or []):
        yield "has an archMap other than of {architecture, subArchitectures}"
    if not isinstance(profile.get("syscalls") or [], list):
        yield "has syscalls that are no list"
        return
    for number, rule in enumerate(rules_of(profile), 1):
        if not isinstance(rule, dict):
            yield f"has a rule {number} that is no object"
            continue
        yield from (f"has a rule {number} {problem}" for problem in _rule_problems(rule))


def _rule_problems(rule: dict[str, Any]) -> Iterator[str]:
    names = rule.get("names") or [rule.get("name")]
    if not _is_texts(names):
        yield "without names"
    if not _is_one_of(rule.get("action"), ACTIONS):
        yield f'with the action "{rule.get("action")}"'
    if not _is_number(rule.get("errnoRet")):
        yield "with an errnoRet that is no number"
    arguments = rule.get("args") or []
    if not isinstance(arguments, list) or not all(map(_is_argument, arguments)):
        yield "with args that are not {index, value, valueTwo, op}"
    for key in ("includes", "excludes"):
        if not _is_condition(rule.get(key) or {}):
            yield f"with {key} other than caps, arches and minKernel"


def _is_number(value: object) -> bool:
    return value is None or (isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**16)


def _is_argument(one: object) -> bool:
    return (
        isinstance(one, dict)
        and _is_one_of(one.get("op"), OPERATORS)
        and isinstance(one.get("index"), int)
        and one["index"] in range(6)
        and all(_is_value(one.get(key, 0)) for key in ("value", "valueTwo"))
    )


def _is_one_of(value: object, words: frozenset[str]) -> bool:
    return isinstance(value, str) and value in words


def _is_value(value: object) -> bool:
    return isinstance(value, int) and 0 <= value < 2**64


def _is_condition(one: object) -> bool:
    if not isinstance(one, dict) or not set(one) <= CONDITIONS:
        return False
    texts = all(_is_texts(one.get(key) or []) for key in ("caps", "arches"))
    return texts and isinstance(one.get("minKernel", ""), str)


def _is_map(several: object) -> bool:
    return isinstance(several, list) and all(
        isinstance(one, dict)
        and _is_texts([one.get("architecture")])
        and _is_texts(one.get("subArchitectures") or [])
        for one in several
    )


def _is_texts(many: object) -> bool:
    return isinstance(many, list) and all(isinstance(text, str) and text for text in many)
