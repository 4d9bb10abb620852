"""The pure parts of our own OCI runtime."""

import struct

import pytest

from swarm.runtime.starter import kernel
from swarm.runtime.starter.__main__ import parse
from swarm.runtime.starter.cgroups import _v1_files, _v2_files, cpu_weight, device_rules
from swarm.runtime.starter.device_filter import Rule, program
from swarm.runtime.starter.rootfs import parse_options
from swarm.runtime.starter.shim import parse as parse_shim

DENY_ALL: Rule = (False, "a", None, None, "rwm")
BLOCK, CHAR = 1, 2
MKNOD, READ, WRITE = 1, 2, 4


def allowed(code: bytes, kind: int, access: int, major: int, minor: int) -> bool:
    """What the kernel's extended BPF machine would answer, played instruction by instruction."""
    context = struct.pack("=III", access << 16 | kind, major, minor)
    instructions = [struct.unpack_from("=BBhi", code, at) for at in range(0, len(code), 8)]
    registers, at = [0] * 11, 0
    while True:
        op, both, offset, value = instructions[at]
        to, source = both & 15, both >> 4
        at += 1
        if op == 0x61:
            registers[to] = struct.unpack_from("=I", context, offset)[0]
        elif op == 0xBC:
            registers[to] = registers[source]
        elif op == 0xB4:
            registers[to] = value
        elif op == 0x54:
            registers[to] &= value
        elif op == 0x74:
            registers[to] >>= value
        elif op == 0x55:
            at += offset if registers[to] != value else 0
        elif op == 0x95:
            return bool(registers[0])
        else:
            raise AssertionError(f"no such instruction: {op:#x}")


def test_the_last_rule_that_fits_a_device_counts() -> None:
    code = program([DENY_ALL, (True, "c", 1, 3, "rwm"), (True, "b", 8, None, "r"), (False, "b", 8, 1, "r")])
    assert allowed(code, CHAR, READ | WRITE, 1, 3)
    assert not allowed(code, CHAR, READ, 1, 5)
    assert not allowed(code, BLOCK, READ, 1, 3)
    assert allowed(code, BLOCK, READ, 8, 0)
    assert not allowed(code, BLOCK, READ | WRITE, 8, 0)
    assert not allowed(code, BLOCK, READ, 8, 1)


def test_the_usual_devices_are_allowed_and_others_may_be_made_but_not_used() -> None:
    rules = device_rules({"devices": [{"allow": False, "access": "rwm"}]})
    code = program(rules)
    assert allowed(code, CHAR, READ | WRITE, 1, 9)  # urandom
    assert allowed(code, CHAR, READ | WRITE, 136, 77)  # a terminal
    assert allowed(code, BLOCK, MKNOD, 8, 0)
    assert not allowed(code, BLOCK, READ, 8, 0)


@pytest.mark.parametrize(
    "rules", [[DENY_ALL], [(True, "c", 1, 3, "rwm")], [DENY_ALL, (True, "b", None, None, "r")]]
)
def test_every_instruction_is_reached_as_the_kernel_insists(rules: list[Rule]) -> None:
    code = program(rules)
    instructions = [struct.unpack_from("=BBhi", code, at) for at in range(0, len(code), 8)]
    reached, ahead = set(), [0]
    while ahead:
        at = ahead.pop()
        op, _, offset, _ = instructions[at]
        reached.add(at)
        ahead += [] if op == 0x95 else [at + 1, at + 1 + offset] if op == 0x55 else [at + 1]
    assert reached == set(range(len(instructions)))


def test_a_privileged_container_may_use_everything() -> None:
    code = program(device_rules({"devices": [{"allow": True, "access": "rwm"}]}))
    assert allowed(code, BLOCK, READ | WRITE | MKNOD, 8, 0)


def test_swap_is_counted_by_itself_with_version_2() -> None:
    resources = {"memory": {"limit": 100, "swap": 150, "reservation": 50}}
    assert dict(_v2_files(resources)) == {"memory.max": "100", "memory.swap.max": "50", "memory.low": "50"}
    endless = {"memory": {"limit": 100, "swap": -1}}
    assert dict(_v2_files(endless))["memory.swap.max"] == "max"
    assert list(_v1_files(resources))[:2] == [
        ("memory", "memory.limit_in_bytes", "100"),
        ("memory", "memory.memsw.limit_in_bytes", "150"),  # never below what it includes
    ]


def test_processors_are_limited_in_both_versions() -> None:
    resources = {
        "cpu": {"quota": 5000, "period": 10_000, "shares": 1024, "cpus": "0-1"},
        "pids": {"limit": 9},
    }
    assert dict(_v2_files(resources)) == {
        "cpu.max": "5000 10000",
        "cpu.weight": "39",
        "cpuset.cpus": "0-1",
        "pids.max": "9",
    }
    files = [file for _, file, _ in _v1_files(resources)]
    assert files.index("cpu.cfs_period_us") < files.index("cpu.cfs_quota_us")


@pytest.mark.parametrize(
    ("shares", "weight"), [(0, 1), (2, 1), (1024, 39), (262_144, 10_000), (10**9, 10_000)]
)
def test_shares_become_weights_within_bounds(shares: int, weight: int) -> None:
    assert cpu_weight(shares) == weight


def test_mount_options_are_flags_propagation_and_data() -> None:
    options = ["nosuid", "rbind", "ro", "rslave", "mode=755", "size=64k", "rw"]
    flags, propagation, data = parse_options(options)
    assert flags == kernel.MS_NOSUID | kernel.MS_BIND | kernel.MS_REC | kernel.MS_RDONLY
    assert propagation == kernel.MS_SLAVE | kernel.MS_REC
    assert data == ["mode=755", "size=64k"]


def test_command_lines_of_conmon_and_of_the_driver_are_understood() -> None:
    line = "--root=/r create --bundle /b --no-new-keyring --pid-file /p --console-socket=/c name"
    assert parse(line.split()) == (
        ["create", "name"],
        {"root": "/r", "bundle": "/b", "no-new-keyring": "", "pid-file": "/p", "console-socket": "/c"},
    )
    assert parse(["delete", "--force", "name"]) == (["delete", "name"], {"force": ""})
    options = parse_shim(["--cid", "x", "--runtime-arg", "--root=/r", "--terminal", "--bundle", "/b"])
    assert options == {"cid": ["x"], "runtime-arg": ["--root=/r"], "terminal": [""], "bundle": ["/b"]}
