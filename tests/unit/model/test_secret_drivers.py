"""What is refused of a driver before anything is stored."""

import pytest

from swarm.api.v1.specs_pb2 import SecretDriver, SecretSpec
from swarm.errors import InvalidArgument
from swarm.model.limits import DRIVER_OPTIONS, TEXT_BYTES
from swarm.model.secret_drivers import named_data, of_task_key, task_key
from swarm.model.validate_data import validate_data

ROLE = {"role-id": "r", "secret-id-secret": "sid"}


def a_spec(name: str = "vault", drop: tuple[str, ...] = (), **options: str) -> SecretSpec:
    given = {"address": "https://vault:8200", "path": "a/b", "token-secret": "token"}
    given |= {key.replace("_", "-"): value for key, value in options.items()}
    spec = SecretSpec(driver=SecretDriver(name=name))
    spec.driver.options.update({key: value for key, value in given.items() if key not in drop})
    spec.annotations.name = "key"
    return spec


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"address": "http://[::1]:8200/prefix/"},
        {"path": "{{.Service.Name}}/{{.Task.Slot}}", "kv": "1", "field": "*", "encoding": "base64"},
        {"version": "3", "namespace": "a/b", "ca_config": "ca", "reuse": "false"},
    ],
)
def test_what_is_right_is_taken(options: dict[str, str]) -> None:
    validate_data(a_spec(**options))
    role = a_spec(drop=("token-secret",), **ROLE)
    validate_data(role)
    validate_data(SecretSpec(annotations=role.annotations, driver=SecretDriver(name="mine")))


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        (a_spec(name="a b"), '"a b" is not the name of a driver'),
        (a_spec(token="abc"), "no option token; name a secret that holds it"),
        (a_spec(pth="abc"), "no option pth; it has address, path"),
        (a_spec(address="vault:8200"), 'the address "vault:8200" is none such as'),
        (a_spec(address="https://u:p@vault"), "the address"),
        (a_spec(address="https://vault/?x=1"), "the address"),
        (a_spec(path="/"), "say where in Vault it is"),
        (a_spec(kv="3"), 'kv="3": known are 1, 2'),
        (a_spec(version="0"), 'the version "0" is no number'),
        (a_spec(version="2", kv="1"), "the KV engine 1 has no versions"),
        (a_spec(reuse="maybe"), "known are true, false"),
        (a_spec(token_secret="{{.Task.ID}}"), "names a secret or config cannot have placeholders"),
        (a_spec(role_id="r"), "a token needs no role-id"),
        (a_spec(drop=("token-secret",)), "how to log in"),
        (a_spec(drop=("token-secret",), role_id="r"), "how to log in"),
        (a_spec(field="f" * (TEXT_BYTES.value + 1)), "TEXT_BYTES"),
        (a_spec("mine", **{f"k{n}": "v" for n in range(DRIVER_OPTIONS.value)}), "DRIVER_OPTIONS"),
    ],
)
def test_what_is_wrong_is_told_before_anything_is_stored(spec: SecretSpec, problem: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        validate_data(spec)
    assert problem in str(caught.value)


def test_data_and_a_driver_do_not_go_together() -> None:
    spec = a_spec()
    spec.secret_data = b"x"
    with pytest.raises(InvalidArgument, match="it has data and a driver"):
        validate_data(spec)


def test_a_driver_names_what_it_is_asked_with() -> None:
    assert set(named_data(a_spec(ca_config="ca").driver)) == {("secret", "token"), ("config", "ca")}
    mine = SecretDriver(
        name="mine", options={"a-secret": "x", "b-config": "y", "secret": "z", "c-secret": ""}
    )
    assert set(named_data(mine)) == {("secret", "x"), ("config", "y")}


def test_the_data_of_a_task_has_an_id_of_its_own() -> None:
    assert of_task_key(task_key("s1", "t1")) == ("s1", "t1")
    assert of_task_key("s1") == ("s1", "")
