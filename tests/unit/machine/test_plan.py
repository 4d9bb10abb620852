import dataclasses

import pytest

from swarm.machine.plan import Kind, Wish, notes, plan, refusals
from swarm.machine.probe import Facts

NOW_S = 1_800_000_000
UNIT = "u" * 64
BARE = Facts(
    os="debian",
    arch="x86_64",
    systemd=True,
    now_s=NOW_S,
    python="3.11",
    packages="apt-get",
    missing=("crun", "nft"),
    disk_free_bytes=8 << 30,
)
READY = dataclasses.replace(
    BARE,
    missing=(),
    release="0.1.0-a",
    complete=("0.1.0-a",),
    linked=("swarmd", "swarmctl"),
    unit=UNIT,
    active="active",
    enabled="enabled",
    state_dir=True,
    info={"NodeID": "n1", "ClusterID": "c1"},
)
FOUND = Wish(release="0.1.0-a", unit=UNIT, role="manager", founds=True)
JOIN = Wish(release="0.1.0-a", unit=UNIT, role="worker", cluster_id="c1")


def kinds(facts: Facts, wish: Wish) -> list[Kind]:
    return [step.kind for step in plan(facts, wish)]


def changed(facts: Facts, **values: object) -> Facts:
    return dataclasses.replace(facts, **values)  # type: ignore[arg-type]


def test_a_bare_machine_gets_everything_in_order() -> None:
    assert kinds(BARE, FOUND) == [Kind.PACKAGES, Kind.UPLOAD, Kind.UNPACK, Kind.ACTIVATE, Kind.INIT]
    assert kinds(BARE, JOIN)[-1] is Kind.JOIN
    assert plan(BARE, FOUND)[0].words == ("crun", "nftables")


def test_a_machine_that_is_as_it_should_be_gets_nothing() -> None:
    assert plan(READY, dataclasses.replace(JOIN, node_id="n1")) == ()


def test_without_a_role_it_belongs_to_no_cluster() -> None:
    assert kinds(BARE, Wish(release="0.1.0-a", unit=UNIT)) == [
        Kind.PACKAGES,
        Kind.UPLOAD,
        Kind.UNPACK,
        Kind.ACTIVATE,
    ]


def test_packages_are_left_alone_when_asked_or_unknown() -> None:
    assert Kind.PACKAGES not in kinds(BARE, dataclasses.replace(JOIN, packages=False))
    gentoo = changed(BARE, os="gentoo", packages="")
    assert Kind.PACKAGES not in kinds(gentoo, JOIN)
    assert notes(gentoo, JOIN) == ["without crun, nft: install them with the package manager of gentoo"]


@pytest.mark.parametrize(
    "lack",
    [
        {"active": "failed"},
        {"enabled": "disabled"},
        {"unit": "other"},
        {"linked": ("swarmd",)},
        {"release": "0.0.9-z"},
        {"busy": True},  # whoever installs it may yet go back
    ],
)
def test_whatever_is_not_right_is_put_right_without_another_upload(lack: dict[str, object]) -> None:
    assert kinds(changed(READY, **lack), JOIN) == [Kind.ACTIVATE]


def test_only_another_release_can_be_gone_back_to() -> None:
    def title(release: str) -> str:
        (step,) = plan(changed(READY, release=release, active="failed"), JOIN)
        return step.title

    assert title("0.0.9-z").endswith("; 0.0.9-z is gone back to if it is not healthy")
    assert [title(release) for release in ("", JOIN.release)] == ["use it and start the service"] * 2


def test_a_release_that_was_not_unpacked_to_its_end_is_no_release() -> None:
    assert kinds(changed(READY, complete=("0.0.9-z",)), JOIN) == [Kind.UPLOAD, Kind.UNPACK, Kind.ACTIVATE]


def test_any_service_is_right_when_going_back() -> None:
    assert plan(changed(READY, unit="older"), dataclasses.replace(JOIN, unit="")) == ()


def test_labels_come_last() -> None:
    step = plan(READY, dataclasses.replace(JOIN, labels=("disk=ssd",)))
    assert [one.words for one in step] == [("disk=ssd",)]


def test_nothing_stands_against_a_bare_machine() -> None:
    assert refusals(BARE, FOUND, NOW_S) == []
    assert refusals(READY, dataclasses.replace(JOIN, node_id="n1"), NOW_S) == []


@pytest.mark.parametrize(
    ("lack", "words"),
    [
        ({"systemd": False}, "systemd does not run"),
        ({"now_s": NOW_S - 86400}, "clock is 86400 s behind"),
        ({"now_s": NOW_S + 61}, "clock is 61 s ahead"),
        ({"disk_free_bytes": 100 << 20}, "only 100 MB are free"),
        ({"room": (("/home/ada", 9 << 20),)}, "only 9 MB are free for /home/ada; 64 MB are needed"),
        ({"room": (("/etc", 0),)}, "only 0 MB are free for /etc; 1 MB are needed"),
        ({"room": (("/var/lib/swarm", 50 << 20),)}, "50 MB are free for /var/lib/swarm; 100 MB are needed"),
        ({"no_inodes": ("/opt",)}, "the disk of /opt can hold no more files"),
        ({"missing": ("tar",)}, "tar is missing"),
        ({"foreign": ("/usr/local/bin/swarmd",)}, "/usr/local/bin/swarmd is there and not ours"),
        ({"listens": (2377,)}, "port 2377 is taken"),
        ({"listens": (2377,), "docker": "active"}, "docker swarm leave"),
    ],
)
def test_what_cannot_be_is_refused_with_what_to_do(lack: dict[str, object], words: str) -> None:
    (reason,) = refusals(changed(BARE, **lack), FOUND, NOW_S)
    assert words in reason


def test_our_own_daemon_may_have_the_port_and_a_full_disk_is_no_matter_once_unpacked() -> None:
    full = changed(READY, listens=(2377,), disk_free_bytes=0, room=(("/etc", 0),), no_inodes=("/opt",))
    assert refusals(full, JOIN, NOW_S) == []


def test_a_node_of_another_cluster_stays_there() -> None:
    (reason,) = refusals(READY, dataclasses.replace(JOIN, cluster_id="c2"), NOW_S)
    assert "another cluster (c1, not c2)" in reason
    (reason,) = refusals(READY, FOUND, NOW_S)
    assert "--adopt" in reason
    (reason,) = refusals(READY, dataclasses.replace(JOIN, cluster_id=""), NOW_S)  # ours is being started
    assert "it is node n1 of a cluster already" in reason
    assert refusals(READY, dataclasses.replace(JOIN, cluster_id="", begun=True), NOW_S) == []
    assert refusals(READY, dataclasses.replace(JOIN, cluster_id="", role=""), NOW_S) == []
    (reason,) = refusals(READY, dataclasses.replace(JOIN, node_id="n9"), NOW_S)
    assert "node n1 now, on record is n9" in reason


def test_two_names_are_two_machines() -> None:
    (reason,) = refusals(READY, dataclasses.replace(JOIN, taken_by="m7"), NOW_S)
    assert "it is node n1, as machine m7 is" in reason
    assert refusals(BARE, dataclasses.replace(JOIN, taken_by="m7"), NOW_S) == []


def test_a_cluster_that_was_started_before_the_cut_is_ours() -> None:
    assert refusals(READY, dataclasses.replace(FOUND, begun=True), NOW_S) == []
    assert plan(READY, dataclasses.replace(FOUND, begun=True)) == ()


def test_docker_is_no_hindrance_but_told() -> None:
    with_docker = changed(BARE, docker="active", packages="apt-get")
    assert refusals(with_docker, FOUND, NOW_S) == []
    assert "left alone" in notes(with_docker, FOUND)[0]
