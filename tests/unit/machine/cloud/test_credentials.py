import pytest

from swarm.machine.cloud.credentials import aws_endpoint, aws_region, of_any, of_aws
from swarm.machine.errors import AuthRefused, PreCheckFailed

PAIR = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "s3cret"}
FILES = {
    "~/.aws/credentials": "[default]\naws_access_key_id = d\naws_secret_access_key = e%\n"
    "[ops]\naws_access_key_id = o\naws_secret_access_key = p\naws_session_token = t\n",
    "~/.aws/config": "[default]\nregion = eu-west-1\n[profile ops]\nregion = us-east-2\n",
}


def read(path: str) -> str:
    return FILES.get(path, "")


def test_the_environment_comes_before_files() -> None:
    found = of_aws({**PAIR, "AWS_SESSION_TOKEN": "x", "AWS_PROFILE": "ops"}, read)
    assert (found.key, found.secret, found.token) == ("a", "s3cret", "x")


def test_profiles_are_found_as_aws_finds_them() -> None:
    assert of_aws({}, read).secret == "e%"
    ops = of_aws({"AWS_PROFILE": "ops"}, read)
    assert (ops.key, ops.token, ops.source) == ("o", "t", "profile ops of ~/.aws/credentials")
    assert aws_region({}, read) == "eu-west-1"
    assert aws_region({"AWS_PROFILE": "ops"}, read) == "us-east-2"
    assert aws_region({"AWS_DEFAULT_REGION": "r"}, read) == "r"
    assert aws_endpoint({"AWS_ENDPOINT_URL": "b", "AWS_ENDPOINT_URL_EC2": "a"}) == "a"


def test_who_is_nobody_is_told_what_to_do() -> None:
    with pytest.raises(AuthRefused, match=r'profile "none" into ~/.aws/credentials'):
        of_aws({"AWS_PROFILE": "none"}, read)
    with pytest.raises(AuthRefused, match="SWARMCTL_CLOUD_KEY"):
        of_any({})
    with pytest.raises(PreCheckFailed, match="--cloud-region"):
        aws_region({}, lambda _path: "")


def test_no_secret_is_shown() -> None:
    assert "s3cret" not in repr(of_aws(PAIR, read))
    with pytest.raises(PreCheckFailed) as refused:
        of_aws({}, lambda _path: "aws_secret_access_key = s3cret")
    assert "s3cret" not in str(refused.value)
    assert refused.value.__cause__ is None
