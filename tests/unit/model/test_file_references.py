"""Where secrets and configs are in a container, and which references make no sense."""

import pytest

from swarm.api.v1.specs_pb2 import ContainerSpec
from swarm.api.v1.types_pb2 import Mount
from swarm.model.file_references import data_ids, file_references, reference_problems


def a_container(*, secrets: tuple[str, ...] = (), configs: tuple[str, ...] = ()) -> ContainerSpec:
    """A container with secrets and configs given as NAME or NAME:TARGET."""
    spec = ContainerSpec()
    for text in secrets:
        name, _, target = text.partition(":")
        spec.secrets.add(secret_id=f"id-{name}", secret_name=name).target.name = target
    for text in configs:
        name, _, target = text.partition(":")
        spec.configs.add(config_id=f"id-{name}", config_name=name).target.name = target
    return spec


def targets(spec: ContainerSpec) -> list[str]:
    return [one.target for one in file_references(spec)]


def test_a_secret_is_below_run_secrets_and_a_config_below_the_root_unless_a_path_is_given() -> None:
    spec = a_container(secrets=("a", "b:c", "d:/etc/d"), configs=("e", "f:g/h", "i:/etc/i"))
    assert targets(spec) == ["/run/secrets/a", "/run/secrets/c", "/etc/d", "/e", "/g/h", "/etc/i"]
    assert data_ids(spec) == {"id-a", "id-b", "id-d", "id-e", "id-f", "id-i"}
    assert list(reference_problems(spec)) == []


def test_everybody_may_read_and_root_owns_unless_said_otherwise() -> None:
    spec = a_container(secrets=("a", "b"))
    spec.secrets[1].target.uid, spec.secrets[1].target.gid, spec.secrets[1].target.mode = 1000, 2000, 0
    first, second = file_references(spec)
    assert (first.uid, first.gid, first.mode) == (0, 0, 0o444)
    assert (second.uid, second.gid, second.mode) == (1000, 2000, 0)


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        (a_container(secrets=("a:x", "b:x")), "secret b has the target /run/secrets/x, and so has secret a"),
        (a_container(secrets=("a:/x",), configs=("x",)), "config x has the target /x, and so has secret a"),
        (a_container(secrets=("a:/x//y",), configs=("x:/x/y",)), "and so has secret a"),
        (a_container(secrets=("a:../x",)), 'the target "/run/secrets/../x"'),
        (a_container(configs=("a:/",)), 'the target "/"'),
        (a_container(configs=("a:dir/",)), 'the target "/dir/"'),
        (a_container(configs=("a:/x\0",)), "not the path of a file"),
        (a_container(configs=("a:/x", "b:/x/y")), "/x/y of config b lies below that of config a"),
        (a_container(configs=("a:/" + "x" * 5000,)), "TEXT_BYTES"),
    ],
)
def test_a_target_that_cannot_be_is_refused(spec: ContainerSpec, problem: str) -> None:
    (found,) = reference_problems(spec)
    assert problem in found


def test_a_mount_and_a_secret_cannot_have_one_target() -> None:
    spec = a_container(secrets=("a",))
    spec.mounts.add(type=Mount.TYPE_TMPFS, target="/run/secrets")
    assert list(reference_problems(spec)) == []
    spec.mounts.add(type=Mount.TYPE_BIND, source="/s", target="/run/secrets/a/")
    (found,) = reference_problems(spec)
    assert "and so has the mount at /run/secrets/a/" in found


def test_modes_owners_and_empty_references_are_checked() -> None:
    spec = a_container(secrets=("a", "b", "c"))
    spec.secrets[0].target.mode = 0o10000
    spec.secrets[1].target.uid = 0xFFFFFFFF
    spec.secrets[2].secret_id = spec.secrets[2].secret_name = ""
    found = list(reference_problems(spec))
    assert len(found) == 3
    assert "the mode 10000" in found[0]
    assert "4294967295" in found[1]
    assert "names none" in found[2]


def test_of_a_reference_by_id_alone_the_target_is_judged_once_its_name_is_known() -> None:
    spec = ContainerSpec()
    spec.secrets.add(secret_id="id-a")
    assert list(reference_problems(spec)) == []
    assert targets(spec) == [""]
