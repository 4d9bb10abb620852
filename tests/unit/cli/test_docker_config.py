"""Docker's config.json and its helper programs: read, written, and left alone where they are not ours."""

import base64
import json
import stat
from pathlib import Path

import pytest

from swarm.cli.credential_helpers import CredentialHelper, Login
from swarm.cli.docker_config import DockerConfig
from swarm.cli.registry_auth import credentials, known_credentials
from swarm.errors import FailedPrecondition, InvalidArgument, NotFound, Unavailable

CAROL = Login("carol", "open:sesame")

# Keeps what it is given in files, as the real ones keep it in a keyring.
HELPER = """\
#!/usr/bin/env python3
import json, pathlib, sys
folder = pathlib.Path({folder!r})
given = sys.stdin.read()
if sys.argv[1] == "store":
    entry = json.loads(given)
    (folder / entry["ServerURL"].replace("/", "_")).write_text(given)
    sys.exit(0)
path = folder / given.replace("/", "_")
if not path.exists():
    print("credentials not found in native keychain")
    sys.exit(1)
if sys.argv[1] == "get":
    print(path.read_text())
else:
    path.unlink()
"""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    return tmp_path / "docker" / "config.json"


@pytest.fixture
def keyring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the helper `box` keeps."""
    folder = tmp_path / "kept"
    folder.mkdir()
    program = tmp_path / "docker-credential-box"
    program.write_text(HELPER.format(folder=str(folder)))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return folder


def written(path: Path, document: object) -> DockerConfig:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(document))
    return DockerConfig(path)


def test_what_is_put_is_found_again_and_only_the_owner_reads_it(config: Path) -> None:
    assert DockerConfig(config).put("registry:5000", CAROL) is None
    assert DockerConfig(config).find("registry:5000") == CAROL
    assert stat.S_IMODE(config.stat().st_mode) == 0o600
    auth = base64.b64encode(b"carol:open:sesame").decode()
    assert json.loads(config.read_text()) == {"auths": {"registry:5000": {"auth": auth}}}
    assert [path.name for path in config.parent.iterdir()] == ["config.json"]


def test_the_rest_of_the_file_stays(config: Path) -> None:
    before = {"detachKeys": "ctrl-x", "auths": {"other": {"auth": "eDp5"}}, "HttpHeaders": {"a": "b"}}
    written(config, before).put("docker.io", CAROL)
    document = json.loads(config.read_text())
    assert "https://index.docker.io/v1/" in document["auths"]
    assert DockerConfig(config).remove("docker.io")
    assert json.loads(config.read_text()) == before


def test_a_link_to_the_file_stays_a_link(config: Path, tmp_path: Path) -> None:
    config.parent.mkdir()
    config.symlink_to(tmp_path / "elsewhere.json")
    DockerConfig(config).put("registry:5000", CAROL)
    assert config.is_symlink()
    assert DockerConfig(config).find("registry:5000") == CAROL


@pytest.mark.parametrize("key", ["registry:5000", "https://registry:5000", "https://registry:5000/v2/"])
def test_an_entry_is_found_however_its_key_is_spelt_and_replaced(config: Path, key: str) -> None:
    old = written(config, {"auths": {key: {"auth": base64.b64encode(b"x:y").decode()}}})
    assert old.find("registry:5000") == Login("x", "y")
    assert old.find("registry:5001") is None
    old.put("registry:5000", CAROL)
    assert list(json.loads(config.read_text())["auths"]) == ["registry:5000"]


def test_an_identity_token_is_kept_without_the_password(config: Path) -> None:
    DockerConfig(config).put("registry:5000", Login("carol", "open", "ID7"))
    assert DockerConfig(config).find("registry:5000") == Login("carol", "", "ID7")
    assert b"open" not in base64.b64decode(json.loads(config.read_text())["auths"]["registry:5000"]["auth"])


@pytest.mark.parametrize("section", [{"credsStore": "box"}, {"credHelpers": {"registry:5000": "box"}}])
def test_a_helper_keeps_the_password_and_the_file_does_not(
    config: Path, keyring: Path, section: dict[str, object]
) -> None:
    assert written(config, section).put("registry:5000", CAROL) is not None
    assert json.loads(config.read_text()) == {**section, "auths": {"registry:5000": {}}}
    assert DockerConfig(config).find("registry:5000") == CAROL
    found = credentials("registry:5000/apps/web:1")
    assert (found.server, found.username, found.password) == ("registry:5000", "carol", "open:sesame")
    assert DockerConfig(config).remove("registry:5000")
    assert not DockerConfig(config).remove("registry:5000")
    assert list(keyring.iterdir()) == []
    assert known_credentials("registry:5000") is None


def test_a_helper_keeps_an_identity_token_under_the_agreed_name(config: Path, keyring: Path) -> None:
    written(config, {"credsStore": "box"}).put("docker.io", Login("carol", "open", "ID7"))
    (kept,) = keyring.iterdir()
    assert json.loads(kept.read_text()) == {
        "ServerURL": "https://index.docker.io/v1/",
        "Username": "<token>",
        "Secret": "ID7",
    }
    assert credentials("web:1").identity_token == "ID7"


def test_a_helper_for_another_registry_is_not_asked(config: Path) -> None:
    found = written(config, {"credHelpers": {"other": "absent"}}).find("registry:5000")
    assert found is None


def test_helpers_that_are_missing_or_fail_are_named(config: Path, keyring: Path) -> None:
    with pytest.raises(FailedPrecondition, match="docker-credential-absent"):
        written(config, {"credsStore": "absent"}).find("registry:5000")
    with pytest.raises(InvalidArgument, match="not the name of a credential helper"):
        CredentialHelper("../../bin/sh")
    program = keyring.parent / "docker-credential-box"
    program.write_text("#!/bin/sh\necho the keyring is locked\nexit 3\n")
    with pytest.raises(Unavailable, match="the keyring is locked"):
        CredentialHelper("box").get("registry:5000")
    program.write_text("#!/bin/sh\necho nonsense\n")
    with pytest.raises(Unavailable, match="JSON"):
        CredentialHelper("box").get("registry:5000")


@pytest.mark.parametrize("content", ["[]", "{", '{"auths": {"registry:5000": {"auth": "%%%"}}}'])
def test_a_file_that_makes_no_sense_is_an_error_and_stays(config: Path, content: str) -> None:
    config.parent.mkdir()
    config.write_text(content)
    with pytest.raises(InvalidArgument, match=r"config\.json"):
        DockerConfig(config).find("registry:5000")
    assert config.read_text() == content


def test_without_credentials_the_next_step_is_said(config: Path) -> None:
    with pytest.raises(NotFound, match="swarmctl login registry:5000"):
        credentials("registry:5000/web")
    assert not config.parent.exists()
