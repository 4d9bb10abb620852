"""Options that say how the containers of a service are confined, limited and named."""

import json
from base64 import b64decode
from pathlib import Path

import pytest

from swarm.api.v1 import objects_pb2 as o
from swarm.api.v1.types_pb2 import Privileges
from swarm.cli.inspect_view import service_spec
from swarm.cli.pretty import pretty_service
from swarm.errors import InvalidArgument
from swarm.model.validate import validate_service
from tests.unit.cli.test_service_spec import created, updated

ALL = (
    *("--name", "web", "--privileged", "--shm-size", "128m", "--ipc", "private", "--pid", "host"),
    *("--uts", "host", "--userns", "host", "--cgroupns", "host", "--cgroup-parent", "/batch"),
    *("--oom-score-adj", "-5", "--cpu-shares", "512", "--cpu-quota", "5000", "--cpu-period", "10000"),
    *("--cpuset-cpus", "0-1", "--cpuset-mems", "0", "--limit-memory", "64m", "--memory-swap", "-1"),
    *("--memory-swappiness", "0", "--blkio-weight", "10", "--pids-limit", "7"),
    *("--group", "audio", "--sysctl", "net.core.somaxconn=9", "--ulimit", "nofile=1:2"),
    *("--host", "db:10.0.0.1", "--host", "six:fe80::1", "--host", "seven=[fe80::2]"),
    *("--dns", "9.9.9.9", "--dns-search", "x.org", "--dns-option", "ndots:2"),
    *("--cap-add", "net_admin", "--cap-drop", "all"),
    *("--security-opt", "no-new-privileges", "--security-opt", "seccomp=unconfined"),
    *("--security-opt", "apparmor=web", "--security-opt", "systempaths=unconfined"),
    *("--security-opt", "label=disable", "web:1"),
)


def test_every_option_is_in_the_spec_and_shown_in_dockers_words():
    spec = created(*ALL)
    validate_service(spec)
    template = service_spec(spec)["TaskTemplate"]
    assert template["Resources"]["Limits"]["Pids"] == 7
    shares = {"CPUShares": 512, "CPUQuota": 5000, "CPUPeriod": 10000, "CpusetCpus": "0-1", "CpusetMems": "0"}
    shares |= {"MemorySwap": -1, "MemorySwappiness": 0, "BlkioWeight": 10}
    assert template["Resources"].items() >= shares.items()
    assert template["ContainerSpec"] == {
        "Image": "web:1",
        "Groups": ["audio"],
        "Privileges": {
            "Privileged": True,
            "NoNewPrivileges": True,
            "Seccomp": {"Mode": "unconfined"},
            "AppArmor": {"Profile": "web"},
            "UnmaskedPaths": True,
            "SELinuxContext": {"Disable": True},
        },
        "CapabilityAdd": ["CAP_NET_ADMIN"],
        "CapabilityDrop": ["ALL"],
        "Sysctls": {"net.core.somaxconn": "9"},
        "Ulimits": [{"Name": "nofile", "Soft": 1, "Hard": 2}],
        "Hosts": ["10.0.0.1 db", "fe80::1 six", "fe80::2 seven"],
        "DNSConfig": {"Nameservers": ["9.9.9.9"], "Search": ["x.org"], "Options": ["ndots:2"]},
        "CgroupParent": "/batch",
        "IpcMode": "private",
        "PidMode": "host",
        "UTSMode": "host",
        "UsernsMode": "host",
        "CgroupnsMode": "host",
        "ShmSizeBytes": 128 << 20,
        "OomScoreAdj": -5,
    }


def test_an_update_adds_replaces_and_removes():
    spec = created(*ALL)
    assert updated(spec) == spec
    new = updated(
        spec,
        *("--ulimit-add", "nofile=5", "--ulimit-add", "core=0", "--sysctl-add", "net.core.somaxconn=10"),
        *("--group-rm", "audio", "--host-rm", "six", "--host-rm", "db:10.0.0.1", "--dns-rm", "9.9.9.9"),
        *("--dns-search-rm", "x.org", "--dns-option-rm", "ndots:2", "--security-opt-rm", "seccomp"),
        *("--security-opt-rm", "apparmor", "--security-opt-add", "no-new-privileges=false"),
        *("--no-privileged", "--shm-size", "0", "--cgroup-parent", "", "--cpu-shares", "0"),
        *("--cpuset-cpus", "", "--memory-swap", "0", "--memory-swappiness", "-1", "--blkio-weight", "0"),
    )
    view = service_spec(new)["TaskTemplate"]
    container = view["ContainerSpec"]
    assert [(one["Name"], one["Hard"]) for one in container["Ulimits"]] == [("nofile", 5), ("core", 0)]
    assert container["Sysctls"] == {"net.core.somaxconn": "10"}
    assert container["Hosts"] == ["fe80::2 seven"]
    assert not {"Groups", "DNSConfig", "ShmSizeBytes", "CgroupParent"} & set(container)
    assert container["Privileges"] == {
        "NoNewPrivileges": False,
        "UnmaskedPaths": True,
        "SELinuxContext": {"Disable": True},
    }
    left = {"CPUQuota", "CPUPeriod", "CpusetMems"}
    assert {"CPUShares", "CpusetCpus", "MemorySwap", "MemorySwappiness", "BlkioWeight"}.isdisjoint(
        view["Resources"]
    )
    assert left <= set(view["Resources"])


def test_a_capability_is_added_or_dropped_whichever_was_said_last():
    spec = created("--name", "web", "--cap-add", "NET_ADMIN", "--cap-drop", "MKNOD", "web:1")
    new = updated(spec, "--cap-drop", "CAP_NET_ADMIN", "--cap-add", "mknod").task.container
    assert (list(new.capability_add), list(new.capability_drop)) == (["CAP_MKNOD"], ["CAP_NET_ADMIN"])
    none = updated(spec, "--cap-add", "RESET", "--cap-drop", "reset").task.container
    assert (list(none.capability_add), list(none.capability_drop)) == ([], [])


def test_a_seccomp_profile_travels_with_the_spec(tmp_path: Path):
    profile = {"defaultAction": "SCMP_ACT_ALLOW", "comment": "x" * 100}
    (tmp_path / "p.json").write_text(json.dumps(profile))
    spec = created("--name", "web", "--security-opt", f"seccomp={tmp_path / 'p.json'}", "web:1")
    validate_service(spec)
    assert spec.task.container.privileges.seccomp.mode == Privileges.Seccomp.MODE_CUSTOM
    shown = service_spec(spec)["TaskTemplate"]["ContainerSpec"]["Privileges"]["Seccomp"]
    assert json.loads(b64decode(shown["Profile"])) == profile
    item = o.Service(id="s1", spec=spec)
    assert f"Profile: {len(json.dumps(profile))} bytes" in pretty_service(item)
    again = updated(spec, "--security-opt-add", "seccomp=default").task.container.privileges.seccomp
    assert (again.mode, again.profile) == (Privileges.Seccomp.MODE_DEFAULT, b"")


@pytest.mark.parametrize(
    ("option", "value", "problem"),
    [
        ("--security-opt", "seccomp=/no/such/file", "No such file"),
        ("--security-opt", "label=colour:red", "label=type:NAME"),
        ("--security-opt", "fly", "no-new-privileges"),
        ("--security-opt", "no-new-privileges=maybe", "write no-new-privileges"),
        ("--sysctl", "net.core.somaxconn", "KEY=VALUE"),
        ("--ulimit", "nofile", "NAME=SOFT"),
        ("--host", "db", "NAME:ADDRESS"),
        ("--shm-size", "huge", "invalid size"),
    ],
)
def test_nonsense_is_refused_with_an_example(option: str, value: str, problem: str):
    with pytest.raises(InvalidArgument, match=problem):
        created("--name", "web", option, value, "web:1")


@pytest.mark.parametrize(
    "words",
    [
        ("--security-opt-rm", "seccomp"),
        ("--security-opt-rm", "x"),
    ],
)
def test_removing_a_security_option_that_is_not_there_is_an_error(words: tuple[str, str]):
    with pytest.raises(InvalidArgument, match=words[0]):
        updated(created("--name", "web", "web:1"), *words)


def test_parts_of_an_selinux_label_come_and_go() -> None:
    spec = created(
        *("--name", "web", "--security-opt", "label=type:web_t", "--security-opt", "label=level:s0:c1,c2"),
        *("--mount", "type=bind,src=/srv,dst=/data,bind-selinux=Z", "web:1"),
    )
    validate_service(spec)
    shown = service_spec(spec)["TaskTemplate"]["ContainerSpec"]
    assert shown["Privileges"]["SELinuxContext"] == {"Type": "web_t", "Level": "s0:c1,c2"}
    assert shown["Mounts"][0]["BindOptions"] == {"SELinux": "Z"}
    other = updated(spec, "--security-opt-add", "label=disable").task.container.privileges
    assert other.selinux_disabled
    assert not other.HasField("selinux")
    gone = updated(spec, "--security-opt-rm", "label").task.container.privileges
    assert not gone.HasField("selinux")


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("--security-opt", "label=type:a b"), "SELinux type"),
        (("--security-opt", "label=level:;"), "SELinux level"),
        (("--mount", "type=bind,src=/srv,dst=/data,bind-selinux=x"), "neither z nor Z"),
    ],
)
def test_labels_that_cannot_be_are_refused(words: tuple[str, str], problem: str) -> None:
    with pytest.raises(InvalidArgument, match=problem):
        validate_service(created("--name", "web", *words, "web:1"))
