import pytest

from swarm.runtime.images.base import Credentials
from swarm.runtime.images.registry import Access, Repository
from swarm.runtime.images.registry_auth import (
    Challenge,
    credentials_for,
    is_loopback,
    may_use_plain_http,
    parse_challenges,
    registry_host,
)


def test_challenges_are_parsed_and_tokens_preferred() -> None:
    bearer = 'Bearer realm="https://t/x",service="r s",scope="repository:a/b:pull,push"'
    found = parse_challenges(['Basic realm="a"', bearer, "Negotiate"])
    expected = {"realm": "https://t/x", "service": "r s", "scope": "repository:a/b:pull,push"}
    assert found[0] == Challenge("bearer", expected)
    assert [challenge.scheme for challenge in found] == ["bearer", "basic"]


def test_several_challenges_in_one_header_are_told_apart() -> None:
    found = parse_challenges(['Basic realm="a", Bearer realm="b",service=c'])
    assert found == [
        Challenge("bearer", {"realm": "b", "service": "c"}),
        Challenge("basic", {"realm": "a"}),
    ]


@pytest.mark.parametrize("header", ["", ",,,", "Bearer", 'bearer realm="', "\x00", "Digest x=y"])
def test_malformed_challenges_do_no_harm(header: str) -> None:
    assert all(challenge.scheme == "bearer" for challenge in parse_challenges([header]))


@pytest.mark.parametrize(
    ("host", "allowed", "expected"),
    [
        ("localhost:5000", [], True),
        ("127.0.0.1", [], True),
        ("127.3.2.1:80", [], True),
        ("[::1]:5000", [], True),
        ("::1", [], True),
        ("localhost.example.com", [], False),
        ("128.0.0.1:5000", [], False),
        ("registry:5000", ["registry:5000"], True),
        ("Registry:5000", ["registry"], True),
        ("registry:5001", ["registry:5000"], False),
        ("10.1.2.3:5000", ["10.0.0.0/8"], True),
        ("11.1.2.3:5000", ["10.0.0.0/8", "nonsense"], False),
        ("ten.example.com", ["10.0.0.0/8"], False),
    ],
)
def test_plain_http_is_for_this_machine_and_the_list(host: str, allowed: list[str], expected: bool) -> None:
    assert may_use_plain_http(host, allowed) is expected


def test_only_this_machine_is_reached_without_the_proxy() -> None:
    assert is_loopback("localhost:5000")
    assert not is_loopback("registry:5000")


@pytest.mark.parametrize(
    ("server", "domain", "meant"),
    [
        ("", "anything:5000", True),
        ("https://index.docker.io/v1/", "docker.io", True),
        ("docker.io", "docker.io", True),
        ("registry:5000", "registry:5000", True),
        ("https://Registry:5000/v2/", "registry:5000", True),
        ("registry:5000", "registry:5001", False),
        ("registry", "registry.evil.com", False),
    ],
)
def test_credentials_go_to_the_registry_they_are_for(server: str, domain: str, meant: bool) -> None:
    credentials = Credentials(server=server, username="u", password="p")
    assert credentials_for(domain, credentials) == (credentials if meant else None)


def test_empty_credentials_are_none() -> None:
    assert credentials_for("x", None) is None
    assert credentials_for("x", Credentials()) is None
    assert registry_host("http://x/y") == "x"


def test_secrets_do_not_show_when_printed() -> None:
    access = Access(Repository("r", "p"), Credentials("s", "u", "geheim", "idtoken"))
    assert "geheim" not in repr(access) + repr(access.credentials)
    assert "idtoken" not in repr(access) + repr(access.credentials)
