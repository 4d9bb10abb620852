"""Who is asked in place of a registry, and who is never asked."""

import pytest

from swarm.config import load_settings
from swarm.errors import InvalidArgument, NotPermitted
from swarm.model.registries import Mirror, parse_rules


def test_mirrors_are_kept_in_order_and_by_registry() -> None:
    rules = parse_rules(["docker.io=a:5000", "quay.io=b", "index.docker.io=https://c.example.com/hub/"], [])
    assert rules.mirrors_of("docker.io") == [
        Mirror("docker.io", "a:5000"),
        Mirror("docker.io", "c.example.com", "hub"),
    ]
    assert [mirror.repository("library/web") for mirror in rules.mirrors_of("docker.io")] == [
        "library/web",
        "hub/library/web",
    ]
    assert rules.mirrors_of("ghcr.io") == []


@pytest.mark.parametrize(
    "entry",
    [
        "",
        "docker.io",
        "=a",
        "docker.io=",
        "docker.io=a/../b",
        "docker.io=http://a",
        "a=a",
        "x y=b",
        "a=b?c",
        "a=b@c",
    ],
)
def test_a_mirror_that_is_none_is_refused(entry: str) -> None:
    with pytest.raises(InvalidArgument, match="registry_mirrors"):
        parse_rules([entry], [])


@pytest.mark.parametrize(
    ("blocked", "host", "expected"),
    [
        ("evil.example.com", "evil.example.com", True),
        ("evil.example.com", "EVIL.example.com:5000", True),
        ("evil.example.com:5000", "evil.example.com:5000", True),
        ("evil.example.com:5000", "evil.example.com", False),
        ("*.example.com", "a.b.example.com", True),
        ("*.example.com", "example.com", False),
        ("*", "anything:1", True),
        ("[::1]", "[::1]:5000", True),
        ("docker.io", "docker.io", True),
        ("registry-1.docker.io", "docker.io", True),
        ("evil", "evil.example.com", False),
    ],
)
def test_a_blocked_registry_is_known_by_its_host(blocked: str, host: str, expected: bool) -> None:
    rules = parse_rules([], [blocked])
    assert rules.is_blocked(host) is expected
    if expected:
        with pytest.raises(NotPermitted, match="is blocked on this node"):
            rules.check(host)


@pytest.mark.parametrize("entry", ["", "a b", "http://a", "a/b"])
def test_what_cannot_be_blocked_is_refused(entry: str) -> None:
    with pytest.raises(InvalidArgument, match="blocked_registries"):
        parse_rules([], [entry])


def test_the_settings_of_a_node_are_checked_when_they_are_read() -> None:
    flags = {"registry_mirrors": ("docker.io=a", "docker.io=b"), "blocked_registries": ("evil",)}
    rules = load_settings(flags, {}).registry_rules
    assert [mirror.host for mirror in rules.mirrors] == ["a", "b"]
    assert rules.is_blocked("evil")
    with pytest.raises(InvalidArgument, match="registry_mirrors: 'docker\\.io' is not"):
        load_settings({}, {"SWARM_REGISTRY_MIRRORS": "docker.io"})
