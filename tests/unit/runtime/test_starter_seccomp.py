"""Profiles become programs of the kernel's machine, which is played here instruction by instruction."""

import errno
import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swarm.runtime.oci.seccomp import default_profile
from swarm.runtime.starter.seccomp import (
    AUDIT_ARCH,
    X32_BIT,
    Unsupported,
    compile_filter,
    syscall_numbers,
)

ALLOW, ERRNO = 0x7FFF0000, 0x00050000
NUMBERS = {f"call{number}": number for number in range(600)}


def verdict(
    program: bytes, number: int, arguments: tuple[int, ...] = (), arch: int = AUDIT_ARCH["x86_64"]
) -> int:
    """What the kernel would make of a call."""
    padded = [*arguments, *([0] * (6 - len(arguments)))]
    data = struct.pack("=IIQ6Q", number, arch, 0, *padded)
    code = [struct.unpack_from("=HBBI", program, at) for at in range(0, len(program), 8)]
    at, accumulator = 0, 0
    while True:
        op, yes, no, value = code[at]
        at += 1
        if op == 0x20:
            accumulator = struct.unpack_from("=I", data, value)[0]
        elif op == 0x54:
            accumulator &= value
        elif op == 0x05:
            at += value
        elif op == 0x06:
            return int(value)
        else:
            holds = {
                0x15: accumulator == value,
                0x25: accumulator > value,
                0x35: accumulator >= value,
            }[op]
            at += yes if holds else no


def profile(*rules: dict[str, Any]) -> dict[str, Any]:
    return {"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": errno.ENOSYS, "syscalls": list(rules)}


def allow(*names: str, **more: Any) -> dict[str, Any]:
    return {"names": list(names), "action": "SCMP_ACT_ALLOW", **more}


@settings(max_examples=25, deadline=None)
@given(st.sets(st.sampled_from(sorted(NUMBERS)), max_size=80))
def test_exactly_the_listed_calls_are_allowed(names: set[str]) -> None:
    program = compile_filter(profile(allow(*sorted(names))), "x86_64", NUMBERS)
    for name, number in NUMBERS.items():
        assert verdict(program, number) == (ALLOW if name in names else ERRNO | errno.ENOSYS)


def test_other_architectures_and_x32_meet_the_default() -> None:
    program = compile_filter(profile(allow("call1")), "x86_64", NUMBERS)
    assert verdict(program, 1) == ALLOW
    assert verdict(program, 1, arch=0x40000003) == ERRNO | errno.ENOSYS
    assert verdict(program, 1 | X32_BIT) == ERRNO | errno.ENOSYS
    assert verdict(program, 2**32 - 1) == ERRNO | errno.ENOSYS


OPERATORS = {
    "SCMP_CMP_EQ": lambda a, b: a == b,
    "SCMP_CMP_NE": lambda a, b: a != b,
    "SCMP_CMP_LT": lambda a, b: a < b,
    "SCMP_CMP_LE": lambda a, b: a <= b,
    "SCMP_CMP_GT": lambda a, b: a > b,
    "SCMP_CMP_GE": lambda a, b: a >= b,
}
WORDS = st.one_of(
    st.integers(0, 3), st.integers(2**32 - 2, 2**32 + 2), st.integers(0, 2**64 - 1), st.just(2**64 - 1)
)


@given(st.sampled_from(sorted(OPERATORS)), st.integers(0, 5), WORDS, WORDS)
def test_arguments_are_compared_in_all_64_bits(operator: str, index: int, value: int, given_: int) -> None:
    rule = allow("call7", args=[{"index": index, "value": value, "op": operator}])
    program = compile_filter(profile(rule), "x86_64", NUMBERS)
    arguments = tuple(given_ if at == index else 99 for at in range(6))
    wanted = ALLOW if OPERATORS[operator](given_, value) else ERRNO | errno.ENOSYS
    assert verdict(program, 7, arguments) == wanted


@given(WORDS, WORDS, WORDS)
def test_masked_comparisons_look_at_the_masked_bits(mask: int, wanted: int, given_: int) -> None:
    rule = allow("call7", args=[{"index": 0, "value": mask, "valueTwo": wanted, "op": "SCMP_CMP_MASKED_EQ"}])
    program = compile_filter(profile(rule), "x86_64", NUMBERS)
    holds = given_ & mask == wanted
    assert verdict(program, 7, (given_,)) == (ALLOW if holds else ERRNO | errno.ENOSYS)


def test_all_conditions_of_a_rule_have_to_hold_and_any_rule_of_a_call() -> None:
    both = allow(
        "call3",
        args=[
            {"index": 0, "value": 1, "op": "SCMP_CMP_EQ"},
            {"index": 1, "value": 2, "op": "SCMP_CMP_EQ"},
        ],
    )
    other = allow("call3", args=[{"index": 0, "value": 9, "op": "SCMP_CMP_EQ"}])
    program = compile_filter(profile(both, other), "x86_64", NUMBERS)
    for arguments, allowed in (((1, 2), True), ((1, 3), False), ((9, 0), True), ((0, 2), False)):
        assert (verdict(program, 3, arguments) == ALLOW) == allowed


def test_a_rule_may_refuse_with_an_error_of_its_own() -> None:
    refuse = {"names": ["call5", "unknown"], "action": "SCMP_ACT_ERRNO", "errnoRet": errno.EPERM}
    program = compile_filter(profile(allow("call4"), refuse), "x86_64", NUMBERS)
    assert verdict(program, 5) == ERRNO | errno.EPERM
    assert verdict(program, 6) == ERRNO | errno.ENOSYS


@pytest.mark.parametrize("machine", ["x86_64", "aarch64", "riscv64"])
def test_the_default_list_fits_on_every_architecture_that_it_is_for(machine: str) -> None:
    section = default_profile(machine)
    assert section is not None
    numbers = syscall_numbers(machine)
    program = compile_filter(section, machine, numbers)
    arch = AUDIT_ARCH[machine]
    assert verdict(program, numbers["read"], arch=arch) == ALLOW
    assert verdict(program, numbers["kexec_load"], arch=arch) != ALLOW
    namespaces = 0x20000
    assert verdict(program, numbers["clone"], (namespaces,), arch=arch) != ALLOW
    assert verdict(program, numbers["clone"], (17,), arch=arch) == ALLOW


def test_what_cannot_be_done_is_refused_and_not_left_out() -> None:
    notify = {"names": ["call1"], "action": "SCMP_ACT_NOTIFY"}
    strange = allow("call1", args=[{"index": 0, "value": 1, "op": "SCMP_CMP_SIMILAR"}])
    for section in (
        profile(notify),
        profile(strange),
        {**profile(), "flags": ["SECCOMP_FILTER_FLAG_TSYNC"]},
    ):
        with pytest.raises(Unsupported):
            compile_filter(section, "x86_64", NUMBERS)
    with pytest.raises(Unsupported, match="mips"):
        syscall_numbers("mips")
