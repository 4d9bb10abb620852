"""Who are we to a cloud? What its own tools read: the environment and files, never a record of ours."""

import configparser
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from swarm.machine.errors import AuthRefused, PreCheckFailed

KEY, SECRET = "SWARMCTL_CLOUD_KEY", "SWARMCTL_CLOUD_SECRET"
Reading = Callable[[str], str]  # text of a file, "" when there is none


@dataclass(frozen=True, slots=True)
class Credentials:
    """What opens a cloud's API; `source` says where it was found."""

    key: str = field(repr=False)
    secret: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    source: str = ""


def of_any(environ: Mapping[str, str]) -> Credentials:
    """Return what opens a cloud of any kind; raises AuthRefused."""
    if not environ.get(KEY):
        raise AuthRefused(f"who are you to the cloud? Set {KEY}, and {SECRET} if its API wants two")
    return Credentials(environ[KEY], environ.get(SECRET, ""), source=KEY)


def of_aws(environ: Mapping[str, str], read: Reading) -> Credentials:
    """Return what opens AWS, as its own tools find it; raises AuthRefused."""
    if environ.get("AWS_ACCESS_KEY_ID") and environ.get("AWS_SECRET_ACCESS_KEY"):
        return Credentials(
            environ["AWS_ACCESS_KEY_ID"],
            environ["AWS_SECRET_ACCESS_KEY"],
            environ.get("AWS_SESSION_TOKEN", ""),
            "AWS_ACCESS_KEY_ID",
        )
    profile = _profile(environ)
    path = environ.get("AWS_SHARED_CREDENTIALS_FILE") or "~/.aws/credentials"
    found = _sections(read(path), path).get(profile, {})
    if not (found.get("aws_access_key_id") and found.get("aws_secret_access_key")):
        raise AuthRefused(
            "who are you to AWS? Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or write a profile "
            f'"{profile}" into {path}; for SSO and roles: eval "$(aws configure export-credentials '
            '--format env)"'
        )
    return Credentials(
        found["aws_access_key_id"],
        found["aws_secret_access_key"],
        found.get("aws_session_token", ""),
        f"profile {profile} of {path}",
    )


def aws_region(environ: Mapping[str, str], read: Reading) -> str:
    """Return the region that AWS's own tools would use; raises PreCheckFailed without one."""
    named = environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION")
    if named:
        return named
    profile = _profile(environ)
    path = environ.get("AWS_CONFIG_FILE") or "~/.aws/config"
    section = "default" if profile == "default" else f"profile {profile}"
    found = _sections(read(path), path).get(section, {}).get("region", "")
    if not found:
        raise PreCheckFailed("in which region? Add --cloud-region, or set AWS_REGION")
    return found


def aws_endpoint(environ: Mapping[str, str]) -> str:
    """Return the URL of the API that the environment names, or ""."""
    return environ.get("AWS_ENDPOINT_URL_EC2") or environ.get("AWS_ENDPOINT_URL") or ""


def _profile(environ: Mapping[str, str]) -> str:
    return environ.get("AWS_PROFILE") or environ.get("AWS_DEFAULT_PROFILE") or "default"


def _sections(text: str, path: str) -> dict[str, dict[str, str]]:
    parser = configparser.RawConfigParser(strict=False, default_section="")
    try:
        parser.read_string(text)
    except configparser.Error as error:
        # Its words would show the line, and that may be the secret.
        raise PreCheckFailed(f"{path} cannot be read: {type(error).__name__}") from None
    return {name: dict(parser[name]) for name in parser.sections()}
