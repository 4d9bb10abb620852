"""`swarmctl secret` and `config`, and the options by which a service refers to them."""

import base64
import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result

from swarm.api.v1 import control_pb2 as c
from swarm.api.v1.objects_pb2 import Config, Secret, Service
from swarm.cli import data, inspect_view
from swarm.cli.data_options import config_reference, secret_reference
from swarm.errors import FailedPrecondition, InvalidArgument, NotFound
from swarm.model.file_references import file_references
from swarm.model.limits import SECRET_BYTES
from tests.unit.cli.test_service_spec import created, updated


class Control:
    """Keeps what is created; `used` cannot be removed."""

    def __init__(self) -> None:
        self.secrets: dict[str, Secret] = {}
        self.configs: dict[str, Config] = {}
        self.changes: list[c.PlannedChange] = []

    def CreateSecret(self, request: c.CreateSecretRequest) -> c.CreateSecretResponse:
        name = request.spec.annotations.name
        self.secrets[name] = Secret(id=f"id-{name}", spec=request.spec)
        return c.CreateSecretResponse(secret=Secret(id=f"id-{name}"))

    def CreateConfig(self, request: c.CreateConfigRequest) -> c.CreateConfigResponse:
        name = request.spec.annotations.name
        self.configs[name] = Config(id=f"id-{name}", spec=request.spec)
        return c.CreateConfigResponse(config=Config(id=f"id-{name}"))

    def GetSecret(self, request: c.GetSecretRequest) -> c.GetSecretResponse:
        if request.ref not in self.secrets:
            raise NotFound(f"there is no secret {request.ref}")
        shown = Secret()
        shown.CopyFrom(self.secrets[request.ref])
        shown.spec.ClearField("secret_data")
        return c.GetSecretResponse(secret=shown)

    def GetConfig(self, request: c.GetConfigRequest) -> c.GetConfigResponse:
        return c.GetConfigResponse(config=self.configs[request.ref])

    def UpdateSecret(self, request: c.UpdateSecretRequest) -> c.UpdateSecretResponse:
        name = request.id.removeprefix("id-")
        self.secrets[name].spec.annotations.CopyFrom(request.spec.annotations)
        return c.UpdateSecretResponse()

    def ListSecrets(self, request: c.ListSecretsRequest) -> c.ListSecretsResponse:
        assert list(request.filters.labels) in ([], ["a=b"])
        return c.ListSecretsResponse(secrets=self.secrets.values())

    def ApplyChanges(self, request: c.ApplyChangesRequest) -> c.ApplyChangesResponse:
        self.changes = list(request.changes)
        return c.ApplyChangesResponse(ids=["new"], made=["secret key version 2"])

    def ListServices(self, request: c.ListServicesRequest) -> c.ListServicesResponse:
        web = Service(id="w")
        web.spec.annotations.name = "web"
        web.spec.task.container.secrets.add(secret_id="two", secret_name="key", version=2)
        web.previous_spec.task.container.secrets.add(secret_id="one", secret_name="key")
        return c.ListServicesResponse(services=[web])

    def RemoveSecret(self, request: c.RemoveSecretRequest) -> c.RemoveSecretResponse:
        if request.ref == "used":
            raise FailedPrecondition("secret used is in use by service web")
        return c.RemoveSecretResponse()


@pytest.fixture
def control(monkeypatch: pytest.MonkeyPatch) -> Control:
    control = Control()

    @contextlib.contextmanager
    def connect(host: str) -> Iterator[Any]:
        yield SimpleNamespace(control=control)

    monkeypatch.setattr(data, "connect", connect)
    return control


def run(group: Any, *arguments: str, stdin: bytes | None = None) -> Result:
    return CliRunner().invoke(group, list(arguments), obj="nowhere", input=stdin)


def test_a_file_or_standard_input_is_kept_byte_for_byte(control: Control, tmp_path: Path) -> None:
    content = bytes(range(256))
    (tmp_path / "file").write_bytes(content)
    made = run(data.secret, "create", "-l", "a=b", "key", str(tmp_path / "file"))
    assert (made.exit_code, made.output) == (0, "id-key\n")
    piped = run(data.config, "create", "--template-driver", "golang", "ini", "-", stdin=content)
    assert (piped.exit_code, piped.output) == (0, "id-ini\n")
    secret, config = control.secrets["key"].spec, control.configs["ini"].spec
    assert (secret.secret_data, dict(secret.annotations.labels)) == (content, {"a": "b"})
    assert (config.data, config.template_driver) == (content, "golang")


@pytest.mark.parametrize(
    ("content", "problem"),
    [(None, "No such file"), (b"", "is empty"), (b"x" * (SECRET_BYTES.value + 1), "SECRET_BYTES")],
    ids=["missing", "empty", "large"],
)
def test_a_file_that_is_no_secret_is_one_clear_error(
    control: Control, tmp_path: Path, content: bytes | None, problem: str
) -> None:
    if content is not None:
        (tmp_path / "file").write_bytes(content)
    error = run(data.secret, "create", "key", str(tmp_path / "file")).exception
    assert isinstance(error, InvalidArgument)
    assert problem in str(error)
    assert control.secrets == {}
    assert isinstance(run(data.secret, "create", "key", str(tmp_path)).exception, InvalidArgument)


def test_lists_and_inspect_show_what_docker_shows_and_never_a_secret(control: Control) -> None:
    run(data.secret, "create", "-l", "a=b", "key", "-", stdin=b"s3cret")
    run(data.config, "create", "ini", "-", stdin=b"a=1\n")
    listed = run(data.secret, "ls", "--filter", "label=a=b")
    assert listed.output.splitlines()[0].split() == ["ID", "NAME", "DRIVER", "VERSION", "CREATED", "UPDATED"]
    assert json.loads(run(data.secret, "ls", "--format", "json").output)["Name"] == "key"
    assert run(data.secret, "ls", "-q").output == "id-key\n"
    (secret,) = json.loads(run(data.secret, "inspect", "key").output)
    assert secret["Spec"] == {"Name": "key", "Labels": {"a": "b"}}
    (config,) = json.loads(run(data.config, "inspect", "ini").output)
    assert base64.b64decode(config["Spec"]["Data"]) == b"a=1\n"
    assert "a=1" in run(data.config, "inspect", "--pretty", "ini").output
    assert "s3cret" not in listed.output + run(data.secret, "inspect", "--pretty", "key").output


def test_of_several_those_that_can_be_are_done_and_the_exit_code_tells(control: Control) -> None:
    removed = CliRunner().invoke(data.secret, ["rm", "a", "used", "b"], obj="nowhere")
    assert removed.return_value == 1 or removed.exit_code == 1
    assert "a\n" in removed.output
    assert "b\n" in removed.output
    assert "in use by service web" in removed.output
    run(data.secret, "create", "key", "-", stdin=b"x")
    looked = run(data.secret, "inspect", "none", "key")
    assert looked.exit_code == 1
    assert '"key"' in looked.output
    assert "there is no secret none" in looked.output


def test_labels_are_changed(control: Control) -> None:
    run(data.secret, "create", "-l", "a=b", "key", "-", stdin=b"x")
    assert run(data.secret, "update", "--label-add", "c=d", "--label-rm", "a", "key").exit_code == 0
    assert dict(control.secrets["key"].spec.annotations.labels) == {"c": "d"}
    assert isinstance(run(data.secret, "update", "--label-rm", "a", "key").exception, InvalidArgument)


# Options of a service.


def test_a_name_is_enough_and_everything_can_be_said() -> None:
    spec = created("--secret", "key", "--config", "ini", "--name", "web", "web:1").task.container
    assert [one.target for one in file_references(spec)] == ["/run/secrets/key", "/ini"]
    spec = created(
        "--secret", "source=key,target=tls.key,uid=1000,gid=1001,mode=0400",
        "--config", "src=ini,target=/etc/app.ini,mode=0440", "--name", "web", "web:1",
    ).task.container  # fmt: skip
    secret, config = file_references(spec)
    assert (secret.name, secret.target, secret.uid, secret.gid, secret.mode) == (
        "key", "/run/secrets/tls.key", 1000, 1001, 0o400,
    )  # fmt: skip
    assert (config.name, config.target, config.uid, config.mode) == ("ini", "/etc/app.ini", 0, 0o440)


@pytest.mark.parametrize(
    "text",
    ["target=x", "source=", "source=a,mode=9", "source=a,mode=77777", "source=a,uid=root", "source=a,gid=-1",
     "source=a,color=red", "a,b"],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_with_the_option(text: str) -> None:
    with pytest.raises(InvalidArgument, match="--secret"):
        secret_reference(text)
    with pytest.raises(InvalidArgument, match="--config"):
        config_reference(text)


def test_a_rotation_is_one_command_and_leaves_the_rest() -> None:
    spec = created("--secret", "key", "--secret", "other", "--config", "ini", "--name", "web", "web:1")
    rotated = updated(spec, "--secret-rm", "key", "--secret-add", "source=key2,target=key")
    assert [(one.name, one.target) for one in file_references(rotated.task.container)] == [
        ("other", "/run/secrets/other"),
        ("key2", "/run/secrets/key"),
        ("ini", "/ini"),
    ]
    replaced = updated(spec, "--config-add", "source=ini2,target=/ini")
    assert [one.config_name for one in replaced.task.container.configs] == ["ini2"]
    gone = updated(spec, "--config-rm", "ini", "--secret-rm", "key", "--secret-rm", "other")
    assert file_references(gone.task.container) == ()
    assert updated(spec) == spec


def test_inspect_of_a_service_shows_references_in_dockers_words() -> None:
    spec = created("--secret", "source=key,mode=0400", "--config", "ini", "--name", "web", "web:1")
    container = inspect_view.service_spec(spec)["TaskTemplate"]["ContainerSpec"]
    assert container["Secrets"] == [
        {"File": {"Name": "key", "UID": "0", "GID": "0", "Mode": 0o400}, "SecretID": "", "SecretName": "key"}
    ]
    assert container["Configs"][0]["File"] == {"Name": "/ini", "UID": "0", "GID": "0", "Mode": 0o444}


def editor(tmp_path: Path, script: str) -> str:
    path = tmp_path / "editor"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o700)
    return str(path)


def test_rotating_sends_the_content_of_a_file_a_variable_or_standard_input(
    control: Control, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(data.secret, "create", "key", "-", stdin=b"one")
    (tmp_path / "file").write_bytes(b"from a file")
    monkeypatch.setenv("PASSWORD", "from a variable")
    for command, arguments, content in (
        ("rotate", ("key", str(tmp_path / "file")), b"from a file"),
        ("rotate", ("--env", "PASSWORD", "key"), b"from a variable"),
        ("update", ("key", "-"), b"from standard input"),
    ):
        done = run(data.secret, command, *arguments, stdin=b"from standard input")
        assert (done.exit_code, done.output) == (0, "new\n")
        (change,) = control.changes
        assert change.rotate_secret == c.RotateSecretRequest(ref="key", secret_data=content)


def test_a_driver_is_named_instead_of_a_content_and_asked_again_by_a_rotation(control: Control) -> None:
    made = run(
        data.secret, "create", "-d", "vault", "--driver-opt", "path=a/b", "--driver-opt", "kv=1", "key"
    )
    assert (made.exit_code, made.output) == (0, "id-key\n")
    driver = control.secrets["key"].spec.driver
    assert (driver.name, dict(driver.options)) == ("vault", {"path": "a/b", "kv": "1"})
    assert json.loads(run(data.secret, "ls", "--format", "json").output)["Driver"] == "vault"
    (shown,) = json.loads(run(data.secret, "inspect", "key").output)
    assert shown["Spec"]["Driver"] == {"Name": "vault", "Options": {"path": "a/b", "kv": "1"}}
    assert "Driver: vault\n - kv=1\n - path=a/b\n" in run(data.secret, "inspect", "--pretty", "key").output
    for command, arguments, options in (
        ("rotate", ("key",), {"path": "a/b", "kv": "1"}),
        ("rotate", ("--driver-opt", "kv=", "--driver-opt", "path=c", "key"), {"path": "c"}),
        ("update", ("--driver-opt", "version=2", "key"), {"path": "a/b", "kv": "1", "version": "2"}),
    ):
        assert run(data.secret, command, *arguments).exit_code == 0
        asked = control.changes[0].rotate_secret
        assert (dict(asked.driver.options), asked.driver.name, asked.of_number) == (options, "vault", 1)
    assert run(data.secret, "rotate", "--driver", "mine", "key").exit_code == 0
    assert control.changes[0].rotate_secret.driver == type(driver)(name="mine")
    assert run(data.secret, "rotate", "key", "-", stdin=b"data").exit_code == 0
    assert control.changes[0].rotate_secret == c.RotateSecretRequest(ref="key", secret_data=b"data")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("create", "--driver-opt", "a=b", "x"), "--driver-opt needs --driver"),
        (("create", "--driver", "vault", "x", "-"), "say the content or a driver"),
        (("create", "x"), "say one of FILE"),
        (("rotate", "--driver-opt", "a=b", "key"), "--driver-opt needs --driver"),
        (("rotate", "--driver", "vault", "key", "-"), "say the content or a driver"),
        (("update", "--driver", "vault", "--label-add", "a=b", "key"), "one after the other"),
    ],
)
def test_a_driver_and_a_content_exclude_each_other(
    control: Control, arguments: tuple[str, ...], problem: str
) -> None:
    run(data.secret, "create", "key", "-", stdin=b"one")
    assert problem in str(run(data.secret, *arguments, stdin=b"x").exception)
    assert control.changes == []
    assert set(control.secrets) == {"key"}


def test_an_editor_begins_with_a_config_and_with_no_secret_and_leaves_nothing(
    control: Control, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.setenv("EDITOR", editor(tmp_path, f'stat -c "%a %n" "$1" >{tmp_path}/seen; echo b=2 >>"$1"'))
    run(data.config, "create", "ini", "-", stdin=b"a=1\n")
    assert run(data.config, "rotate", "--edit", "ini").exit_code == 0
    assert control.changes[0].rotate_config.data == b"a=1\nb=2\n"
    assert run(data.secret, "create", "--edit", "key").exit_code == 0
    assert control.secrets["key"].spec.secret_data == b"b=2"  # editors add the end of the last line
    mode, path = (tmp_path / "seen").read_text().split()
    assert (mode, Path(path).parent.exists()) == ("600", False)


def test_an_editor_that_fails_or_leaves_nothing_changes_nothing(
    control: Control, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("VISUAL", raising=False)
    run(data.secret, "create", "key", "-", stdin=b"one")
    for script, problem in (("exit 3", "ended with 3"), (":", "is empty"), ('rm "$1"', "cannot edit")):
        monkeypatch.setenv("EDITOR", editor(tmp_path, script))
        assert problem in str(run(data.secret, "rotate", "--edit", "key").exception)
    assert control.changes == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("rotate", "key"),
        ("rotate", "--env", "A", "key", "-"),
        ("rotate", "--env", "NOT_SET_ANYWHERE", "key"),
        ("rotate", "--timeout", "soon", "key", "-"),
        ("update", "--label-add", "a=b", "key", "-"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_changes(
    control: Control, arguments: tuple[str, ...]
) -> None:
    run(data.secret, "create", "key", "-", stdin=b"one")
    assert isinstance(run(data.secret, *arguments, stdin=b"two").exception, InvalidArgument)
    assert control.changes == []


def test_the_history_says_who_uses_which_version(control: Control) -> None:
    run(data.secret, "create", "key", "-", stdin=b"one")
    control.secrets["key"].MergeFrom(Secret(id="two", number=2, created_by="ada", data_bytes=3))
    old, other = Secret(id="one", number=1, data_bytes=5), Secret(id="x")
    old.spec.annotations.name, other.spec.annotations.name = "key@1", "key-of-another"
    control.secrets |= {"key@1": old, "key-of-another": other}
    rows = run(data.secret, "history", "key").output.splitlines()
    assert rows[0].split() == ["VERSION", "ID", "CREATED", "BY", "SIZE", "USED", "BY"]
    assert [rows[1].split()[:3], rows[1].split()[-3:]] == [["2", "*", "two"], ["ada", "3B", "web"]]
    assert [rows[2].split()[:2], rows[2].split()[-3:]] == [["1", "one"], ["-", "5B", "~web"]]
    assert len(rows) == 3
    assert run(data.secret, "history", "-q", "key@1").output.split() == ["2", "1"]
