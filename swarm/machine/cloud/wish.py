"""What is wished of a cloud? Settings of the driver `cloud`, checked before anything is asked for."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from swarm.errors import InvalidArgument
from swarm.machine.drivers.base import Option

EC2 = "ec2"
OPTIONS = (
    Option("provider", "Cloud: ec2, or another name of libcloud (default ec2)"),
    Option("region", "Region (default: AWS_REGION, AWS_DEFAULT_REGION, ~/.aws/config)"),
    Option("image", "Image to start from, such as ami-0123456789abcdef0", needed=True),
    Option("size", "Size of the machine, such as t3.small", needed=True),
    Option("key-name", "Key pair that the cloud has already (default: one is made for this machine)"),
    Option("security-group", "Security group, by name, or by id in a subnet", many=True),
    Option("subnet", "Subnet that it is in"),
    Option("tag", "KEY=VALUE, tag of the machine", many=True),
    Option("address", "public or private: where it is reached (default public, if it has one)"),
    Option("endpoint", "URL of the API (default: AWS_ENDPOINT_URL_EC2, AWS_ENDPOINT_URL, the region's own)"),
    Option("arg", "NAME=VALUE for the constructor of libcloud's driver; no secrets", many=True),
)
TAG_PREFIX = "swarm:"
TAGS_MAX = 40  # EC2 takes 50, some are ours
ADDRESSES = ("", "public", "private")
_SECRET = re.compile(r"secret|passw|token|credential|key", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Wish:
    """One machine, as it is wished for; empty texts are left to the cloud."""

    image: str
    size: str
    provider: str = EC2
    region: str = ""
    key_name: str = ""
    security_groups: tuple[str, ...] = ()
    subnet: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    address: str = ""
    endpoint: str = ""
    arguments: Mapping[str, str] = field(default_factory=dict)


def wish_of(options: Mapping[str, str]) -> Wish:
    """Return the wish that settings mean; raises InvalidArgument that names the wrong one."""
    tags = _pairs(options, "tag")
    for key in tags:
        if key.startswith((TAG_PREFIX, "aws:")) or key == "Name":
            raise InvalidArgument(f"--cloud-tag {key}: tags of that name are not yours to set")
    if len(tags) > TAGS_MAX:
        raise InvalidArgument(f"--cloud-tag: {len(tags)} tags; {TAGS_MAX} at most")
    arguments = _pairs(options, "arg")
    for name in arguments:
        if _SECRET.search(name):
            raise InvalidArgument(
                f"--cloud-arg {name}: it would be kept in clear; give secrets in the environment: "
                "SWARMCTL_CLOUD_KEY, SWARMCTL_CLOUD_SECRET"
            )
    address = options.get("address", "")
    if address not in ADDRESSES:
        raise InvalidArgument(f"--cloud-address {address}: write public or private")
    wish = Wish(
        image=options.get("image", ""),
        size=options.get("size", ""),
        provider=(options.get("provider") or EC2).lower(),
        region=options.get("region", ""),
        key_name=options.get("key-name", ""),
        security_groups=_words(options, "security-group"),
        subnet=options.get("subnet", ""),
        tags=tags,
        address=address,
        endpoint=options.get("endpoint", ""),
        arguments=arguments,
    )
    _check_groups(wish)
    return wish


def _check_groups(wish: Wish) -> None:
    ids = [group.startswith("sg-") for group in wish.security_groups]
    if wish.provider != EC2 or not ids:
        return
    if any(ids) != all(ids):
        raise InvalidArgument("--cloud-security-group: write names, or ids (sg-…), not both")
    if all(ids) != bool(wish.subnet):
        raise InvalidArgument(
            "--cloud-security-group: ids (sg-…) belong to --cloud-subnet, names to the default network"
        )


def _words(options: Mapping[str, str], name: str) -> tuple[str, ...]:
    return tuple(word for word in (text.strip() for text in options.get(name, "").split(",")) if word)


def _pairs(options: Mapping[str, str], name: str) -> dict[str, str]:
    found = {}
    for word in _words(options, name):
        key, equals, value = word.partition("=")
        if not key or not equals:
            raise InvalidArgument(f'--cloud-{name} "{word}": write KEY=VALUE')
        found[key] = value
    return found
