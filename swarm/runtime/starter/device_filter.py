"""Which devices a cgroup of version 2 may use: a program for the kernel's extended BPF machine."""

import ctypes
import os
import struct
from collections.abc import Sequence

from swarm.runtime.starter import kernel

_PROG_LOAD, _PROG_ATTACH = 5, 8
_PROG_TYPE_CGROUP_DEVICE, _CGROUP_DEVICE = 15, 6
_ALLOW_MULTI = 2
_KINDS = {"b": 1, "c": 2}
_ACCESS = {"m": 1, "r": 2, "w": 4}
# Instructions, and registers: the answer is R0, what is asked comes in R1.
_LOAD_WORD, _MOVE, _AND_CONSTANT, _SHIFT_RIGHT, _MOVE_CONSTANT, _EXIT = 0x61, 0xBC, 0x54, 0x74, 0xB4, 0x95
_JUMP_DIFFERS = 0x55
_R0, _R1, _WANTED, _KIND, _MAJOR, _MINOR, _SCRATCH = 0, 1, 2, 3, 4, 5, 6

Rule = tuple[bool, str, int | None, int | None, str]
Instruction = tuple[int, int, int, int, int]  # code, destination, source, offset, constant


def attach(directory: str, rules: Sequence[Rule]) -> None:
    """Let the processes of a cgroup use what the rules say; raises OSError. Without rules: everything."""
    if not rules or (len(rules) > 0 and rules[0][:2] == (True, "a")):
        return
    code = program(rules)
    license_text = ctypes.create_string_buffer(b"GPL")
    buffer = ctypes.create_string_buffer(code, len(code))
    attributes = struct.pack(
        "=IIQQ",
        _PROG_TYPE_CGROUP_DEVICE,
        len(code) // 8,
        ctypes.addressof(buffer),
        ctypes.addressof(license_text),
    )
    loaded = kernel.bpf(_PROG_LOAD, attributes.ljust(72, b"\0"))
    try:
        cgroup = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            kernel.bpf(_PROG_ATTACH, struct.pack("=IIIII", cgroup, loaded, _CGROUP_DEVICE, _ALLOW_MULTI, 0))
        finally:
            os.close(cgroup)
    finally:
        os.close(loaded)


def program(rules: Sequence[Rule]) -> bytes:
    """Return the program for rules of which the last one that fits counts; nothing fits: denied. Pure."""
    code: list[Instruction] = [
        (_LOAD_WORD, _WANTED, _R1, 0, 0),
        (_MOVE, _KIND, _WANTED, 0, 0),
        (_AND_CONSTANT, _KIND, 0, 0, 0xFFFF),
        (_SHIFT_RIGHT, _WANTED, 0, 0, 16),
        (_LOAD_WORD, _MAJOR, _R1, 4, 0),
        (_LOAD_WORD, _MINOR, _R1, 8, 0),
    ]
    for rule in reversed(rules):
        code += _rule(rule)
        if not _tests(rule):
            break  # fits all: the kernel refuses a program with instructions that nothing leads to
    else:
        code += _verdict(allow=False)
    return b"".join(
        struct.pack("=BBhi", op, source << 4 | to, offset, value) for op, to, source, offset, value in code
    )


def _rule(rule: Rule) -> list[Instruction]:
    code = _verdict(allow=rule[0])
    for before, register, value in reversed(_tests(rule)):
        code = [*before, (_JUMP_DIFFERS, register, 0, len(code), value), *code]
    return code


def _verdict(*, allow: bool) -> list[Instruction]:
    return [(_MOVE_CONSTANT, _R0, 0, 0, int(allow)), (_EXIT, 0, 0, 0, 0)]


def _tests(rule: Rule) -> list[tuple[list[Instruction], int, int]]:
    """Return what a device has to be: instructions before, a register, its value."""
    _, kind, major, minor, access = rule
    tests: list[tuple[list[Instruction], int, int]] = []
    if kind in _KINDS:
        tests.append(([], _KIND, _KINDS[kind]))
    bits = sum(_ACCESS[letter] for letter in access)
    if bits != 7:
        others = 7 & ~bits
        masked = [(_MOVE, _SCRATCH, _WANTED, 0, 0), (_AND_CONSTANT, _SCRATCH, 0, 0, others)]
        tests.append((masked, _SCRATCH, 0))
    tests += [
        ([], register, value) for register, value in ((_MAJOR, major), (_MINOR, minor)) if value is not None
    ]
    return tests
