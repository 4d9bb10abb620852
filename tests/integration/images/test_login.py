"""`swarmctl login` against Debian's registry with htpasswd, and against a token server of our own."""

import asyncio
import json
from pathlib import Path

import pytest

from swarm.cli.docker_config import DockerConfig
from tests.integration.images.registries import (
    PASSWORD,
    USER,
    Answer,
    Request,
    docker_registry,
    needs_registry,
    scripted,
)
from tests.integration.operator import ROOT, SWARMCTL

pytestmark = pytest.mark.integration


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    return tmp_path / "docker" / "config.json"


async def swarmctl(*arguments: str, stdin: str = "") -> tuple[int, str]:
    """Run a command with `stdin`; return its exit code and all that it printed."""
    process = await asyncio.create_subprocess_exec(
        *SWARMCTL,
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=ROOT,
    )
    output, _ = await process.communicate(stdin.encode())
    assert process.returncode is not None
    return process.returncode, output.decode()


@needs_registry
async def test_only_a_password_that_the_registry_takes_is_kept(config: Path, tmp_path: Path) -> None:
    async with docker_registry(tmp_path / "registry", password=True) as addr:
        command = ("login", addr, "-u", USER, "--password-stdin")
        code, said = await swarmctl(*command, stdin="wrong\n")
        assert code == 1
        assert f"login to {addr} as {USER} failed" in said
        assert not config.exists()
        code, said = await swarmctl(*command, stdin=f"{PASSWORD}\n")
        assert code == 0, said
        assert "Login Succeeded" in said
        assert "in clear" in said
        assert PASSWORD not in said
    found = DockerConfig(config).find(addr)
    assert found is not None
    assert (found.username, found.password) == (USER, PASSWORD)
    assert (await swarmctl("logout", f"http://{addr}/v2/"))[1] == f"Removed login credentials for {addr}\n"
    assert (await swarmctl("logout", addr))[1] == f"Not logged in to {addr}\n"
    assert DockerConfig(config).find(addr) is None


async def test_an_identity_token_takes_the_place_of_the_password(config: Path) -> None:
    def script(request: Request) -> Answer:
        if request.path.startswith("/token"):
            assert "offline_token=true" in request.path
            assert "scope" not in request.path
            return Answer(body=json.dumps({"token": "T1", "refresh_token": "ID7"}).encode())
        if request.headers.get("authorization") != "Bearer T1":
            return Answer(
                401, headers={"WWW-Authenticate": f'Bearer realm="http://{server.addr}/token",service="r"'}
            )
        assert request.path == "/v2/"
        return Answer(body=b"{}")

    async with scripted(script) as server:
        code, said = await swarmctl("login", server.addr, "-u", "carol", "--password-stdin", stdin="geheim")
        assert code == 0, said
        found = DockerConfig(config).find(server.addr)
    assert found is not None
    assert (found.username, found.password, found.identity_token) == ("carol", "", "ID7")


async def test_bad_input_is_refused_before_anything_is_asked(config: Path) -> None:
    for arguments, said in (
        (("login", "no such registry", "-u", "carol", "--password-stdin"), "is not a registry"),
        (("login", "localhost:1", "--password-stdin"), "needs --username"),
        (("login", "localhost:1", "-u", "carol"), "needs a name and a password"),
        (("login", "localhost:1", "-u", "carol", "--password-stdin"), "one of them is empty"),
    ):
        code, output = await swarmctl(*arguments)
        assert (code, said in output) == (1, True), output
    code, output = await swarmctl("login", "localhost:1", "-u", "carol", "--password-stdin", stdin="x")
    assert (code, "not reachable: localhost:1" in output) == (1, True), output
    assert not config.exists()
