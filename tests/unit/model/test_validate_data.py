"""Which secrets and configs are accepted."""

import pytest

from swarm.api.v1.specs_pb2 import ConfigSpec, SecretSpec
from swarm.errors import InvalidArgument
from swarm.model.limits import CONFIG_BYTES, DATA_NAME_CHARACTERS, LABEL_KEY_BYTES, SECRET_BYTES
from swarm.model.validate_data import validate_data


def a_secret(name: str = "key", data: bytes = b"s3cret") -> SecretSpec:
    spec = SecretSpec(secret_data=data)
    spec.annotations.name = name
    return spec


def a_config(name: str = "app.ini", data: bytes = b"a=1") -> ConfigSpec:
    spec = ConfigSpec(data=data)
    spec.annotations.name = name
    return spec


@pytest.mark.parametrize("name", ["a", "app.ini", "A-b_c.d", "0"])
def test_names_are_letters_digits_and_three_signs_between_them(name: str) -> None:
    validate_data(a_secret(name))
    validate_data(a_config(name))


@pytest.mark.parametrize("name", ["", ".", "a/b", "a b", "-a", "a.", "ä", "a\n"])
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(InvalidArgument, match="invalid config: the name"):
        validate_data(a_config(name))


def test_the_limits_are_named_and_what_is_just_within_them_is_accepted() -> None:
    validate_data(a_secret("n" * DATA_NAME_CHARACTERS.value, b"x" * SECRET_BYTES.value))
    validate_data(a_config(data=b"x" * CONFIG_BYTES.value))
    with pytest.raises(InvalidArgument) as caught:
        validate_data(a_secret("n" * (DATA_NAME_CHARACTERS.value + 1), b"x" * (SECRET_BYTES.value + 1)))
    assert "(DATA_NAME_CHARACTERS)" in str(caught.value)
    assert "the data: 512001 bytes; the limit is 512000 (SECRET_BYTES)" in str(caught.value)
    with pytest.raises(InvalidArgument, match="CONFIG_BYTES"):
        validate_data(a_config(data=b"x" * (CONFIG_BYTES.value + 1)))


def test_no_data_wrong_labels_and_unknown_templates_are_refused_at_once_without_the_data() -> None:
    spec = a_secret()
    spec.template_driver = "jinja"
    spec.annotations.labels["k" * (LABEL_KEY_BYTES.value + 1)] = ""
    spec.annotations.labels[""] = ""
    with pytest.raises(InvalidArgument) as caught:
        validate_data(spec)
    for part in ('no template driver "jinja"', "LABEL_KEY_BYTES", "no key"):
        assert part in str(caught.value)
    assert "s3cret" not in str(caught.value)
    with pytest.raises(InvalidArgument, match="it has no data"):
        validate_data(a_secret(data=b""))
