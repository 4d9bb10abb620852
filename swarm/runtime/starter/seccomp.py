"""Turns a `linux.seccomp` section into a program for the kernel's classic BPF machine. Pure.

A call is looked up by halving the list of known numbers: nine comparisons instead of three hundred. Calls of
another architecture than the native one, and of x86's x32, meet the default action: their numbers mean other
calls.
"""

import errno
import json
import struct
from collections.abc import Callable, Sequence
from typing import Any

AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7, "riscv64": 0xC00000F3}
X32_BIT = 0x40000000
# crun has this name: whoever makes many containers compiles their filter once and leaves it here.
PROGRAM_ANNOTATION = "run.oci.seccomp_bpf_data"

_ACTIONS = {
    "SCMP_ACT_ALLOW": 0x7FFF0000,
    "SCMP_ACT_LOG": 0x7FFC0000,
    "SCMP_ACT_TRACE": 0x7FF00000,
    "SCMP_ACT_ERRNO": 0x00050000,
    "SCMP_ACT_TRAP": 0x00030000,
    "SCMP_ACT_KILL": 0x00000000,
    "SCMP_ACT_KILL_THREAD": 0x00000000,
    "SCMP_ACT_KILL_PROCESS": 0x80000000,
}
_WITH_NUMBER = ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE")
# Instructions: load a word of the call's data, compare with a constant, mask, return.
_LOAD, _AND, _RETURN = 0x20, 0x54, 0x06
_JUMP_EQUAL, _JUMP_GREATER, _JUMP_NOT_LESS, _JUMP = 0x15, 0x25, 0x35, 0x05
_NUMBER_AT, _ARCH_AT, _ARGUMENTS_AT = 0, 4, 16
_LOW = 0xFFFFFFFF

Instruction = tuple[int, int, int, int]
Code = list[Instruction]


class Unsupported(ValueError):
    """A profile that this compiler cannot make a program of."""


def syscall_numbers(machine: str) -> dict[str, int]:
    """Return the numbers of the system calls of a machine; raises Unsupported for one nobody looked at."""
    with open(__file__.rpartition("/")[0] + "/syscalls.json", encoding="ascii") as file:
        tables: dict[str, dict[str, int]] = json.load(file)
    if machine not in tables:
        raise Unsupported(f"no list of system calls for a processor of the kind {machine}")
    return tables[machine]


def compile_filter(section: dict[str, Any], machine: str, numbers: dict[str, int]) -> bytes:
    """Return the program for a `linux.seccomp` section; names without a number here are left out.

    Raises Unsupported for an action, operator or flag that is unknown.
    """
    if set(section.get("flags") or ()) - {"SECCOMP_FILTER_FLAG_LOG"}:
        raise Unsupported(f"seccomp flags {section['flags']} cannot be set by the Python starter")
    default = _action(section["defaultAction"], section.get("defaultErrnoRet"))
    rules = _rules_by_number(section.get("syscalls") or (), numbers, default)
    ranges = _ranges(rules)
    body = _search(ranges, default)
    head: Code = [
        (_LOAD, 0, 0, _ARCH_AT),
        (_JUMP_EQUAL, 1, 0, AUDIT_ARCH[machine]),
        (_RETURN, 0, 0, default),
    ]
    head.append((_LOAD, 0, 0, _NUMBER_AT))
    if machine == "x86_64":
        head += [(_JUMP_NOT_LESS, 0, 1, X32_BIT), (_RETURN, 0, 0, default)]
    program = [*head, *body]
    if len(program) > 4096:
        raise Unsupported(f"the seccomp profile makes {len(program)} instructions; the kernel takes 4096")
    return b"".join(struct.pack("=HBBI", *one) for one in program)


def _action(name: str, number: int | None) -> int:
    if name not in _ACTIONS:
        raise Unsupported(f"the seccomp action {name} cannot be set by the Python starter")
    if name in _WITH_NUMBER:
        return _ACTIONS[name] | ((errno.EPERM if number is None else number) & 0xFFFF)
    return _ACTIONS[name]


def _rules_by_number(
    rules: Sequence[dict[str, Any]], numbers: dict[str, int], default: int
) -> dict[int, Code]:
    """Return what is done at each number: code that ends with a return."""
    always: dict[int, int] = {}
    conditional: dict[int, list[tuple[Code, int]]] = {}
    for rule in rules:
        action = _action(rule["action"], rule.get("errnoRet"))
        for name in rule["names"]:
            if name not in numbers or action == default:
                continue
            if rule.get("args"):
                conditional.setdefault(numbers[name], []).append((_conditions(rule["args"]), action))
            else:
                always.setdefault(numbers[name], action)
    found: dict[int, Code] = {}
    for number in sorted({*always, *conditional}):
        code: Code = []
        for conditions, action in conditional.get(number, []):
            # What does not hold jumps over the return.
            code += [*_patched(conditions, len(conditions) + 1), (_RETURN, 0, 0, action)]
        found[number] = [*code, (_RETURN, 0, 0, always.get(number, default))]
    return found


_FAIL = -1  # a jump to the end of the conditions, not known yet


def _conditions(arguments: Sequence[dict[str, Any]]) -> Code:
    """Return code that goes on when all conditions hold and jumps to _FAIL when one does not."""
    code: Code = []
    for one in arguments:
        at = _ARGUMENTS_AT + 8 * int(one["index"])
        value = int(one["value"])
        operator = one["op"]
        if operator == "SCMP_CMP_MASKED_EQ":
            code += _masked_equal(at, value, int(one.get("valueTwo") or 0))
        elif operator in _COMPARISONS:
            code += _COMPARISONS[operator](at, value)
        else:
            raise Unsupported(f"the seccomp operator {operator} is unknown")
    return code


def _masked_equal(at: int, mask: int, wanted: int) -> Code:
    code: Code = []
    for offset, shift in ((0, 0), (4, 32)):
        part, value = mask >> shift & _LOW, wanted >> shift & _LOW
        code += [(_LOAD, 0, 0, at + offset), (_AND, 0, 0, part), (_JUMP_EQUAL, 0, _FAIL, value)]
    return code


def _equal(at: int, value: int) -> Code:
    return _masked_equal(at, 2**64 - 1, value)


def _differs(at: int, value: int) -> Code:
    high, low = value >> 32 & _LOW, value & _LOW
    return [
        (_LOAD, 0, 0, at + 4),
        (_JUMP_EQUAL, 0, 2, high),
        (_LOAD, 0, 0, at),
        (_JUMP_EQUAL, _FAIL, 0, low),
    ]


def _greater(at: int, value: int, low_jump: int = _JUMP_GREATER) -> Code:
    high, low = value >> 32 & _LOW, value & _LOW
    return [
        (_LOAD, 0, 0, at + 4),
        (_JUMP_GREATER, 3, 0, high),
        (_JUMP_EQUAL, 0, _FAIL, high),
        (_LOAD, 0, 0, at),
        (low_jump, 0, _FAIL, low),
    ]


def _less(at: int, value: int, low_jump: int = _JUMP_NOT_LESS) -> Code:
    high, low = value >> 32 & _LOW, value & _LOW
    return [
        (_LOAD, 0, 0, at + 4),
        (_JUMP_GREATER, _FAIL, 0, high),
        (_JUMP_EQUAL, 0, 2, high),
        (_LOAD, 0, 0, at),
        (low_jump, _FAIL, 0, low),
    ]


_COMPARISONS: dict[str, Callable[[int, int], Code]] = {
    "SCMP_CMP_EQ": _equal,
    "SCMP_CMP_NE": _differs,
    "SCMP_CMP_GT": _greater,
    "SCMP_CMP_GE": lambda at, value: _greater(at, value, _JUMP_NOT_LESS),
    "SCMP_CMP_LT": _less,
    "SCMP_CMP_LE": lambda at, value: _less(at, value, _JUMP_GREATER),
}


def _patched(code: Code, end: int) -> Code:
    """Let failing jumps lead to the instruction `end`, counted from the start of the code."""

    def to(at: int, jump: int) -> int:
        return end - at - 1 if jump == _FAIL else jump

    return [(one, to(at, yes), to(at, no), value) for at, (one, yes, no, value) in enumerate(code)]


def _ranges(rules: dict[int, Code]) -> list[tuple[int, Code | None]]:
    """Return (first number, code) of each stretch of numbers treated alike; None: the default."""
    ranges: list[tuple[int, Code | None]] = [(0, None)]
    following = 0
    for number, code in rules.items():
        if number != following and ranges[-1][1] is not None:
            ranges.append((following, None))
        if ranges[-1][1] != code:
            ranges.append((number, code))
        following = number + 1
    return [*ranges, (following, None)]


def _search(ranges: list[tuple[int, Code | None]], default: int) -> Code:
    """Return code that finds the stretch with the number at hand and does what is done there."""
    if len(ranges) == 1:
        return ranges[0][1] or [(_RETURN, 0, 0, default)]
    middle = len(ranges) // 2
    lower, upper = _search(ranges[:middle], default), _search(ranges[middle:], default)
    # A conditional jump reaches 255 instructions; an unconditional one any.
    return [(_JUMP_NOT_LESS, 0, 1, ranges[middle][0]), (_JUMP, 0, 0, len(lower)), *lower, *upper]
