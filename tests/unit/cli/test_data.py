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
from swarm.api.v1.objects_pb2 import Config, Secret
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
    assert listed.output.splitlines()[0].split() == ["ID", "NAME", "DRIVER", "CREATED", "UPDATED"]
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
    with pytest.raises(InvalidArgument, match="--secret-rm nothing"):
        updated(spec, "--secret-rm", "nothing")


def test_inspect_of_a_service_shows_references_in_dockers_words() -> None:
    spec = created("--secret", "source=key,mode=0400", "--config", "ini", "--name", "web", "web:1")
    container = inspect_view.service_spec(spec)["TaskTemplate"]["ContainerSpec"]
    assert container["Secrets"] == [
        {"File": {"Name": "key", "UID": "0", "GID": "0", "Mode": 0o400}, "SecretID": "", "SecretName": "key"}
    ]
    assert container["Configs"][0]["File"] == {"Name": "/ini", "UID": "0", "GID": "0", "Mode": 0o444}
