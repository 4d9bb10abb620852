import pytest

from swarm.errors import InvalidArgument
from swarm.machine.cloud.wish import Wish, wish_of

LEAST = {"image": "ami-1", "size": "t3.small"}


def test_settings_mean_a_wish() -> None:
    assert wish_of(LEAST) == Wish("ami-1", "t3.small")
    found = wish_of(
        {**LEAST, "tag": "team=web, env=prod", "security-group": "sg-1,sg-2", "subnet": "subnet-1"}
    )
    assert found.tags == {"team": "web", "env": "prod"}
    assert found.security_groups == ("sg-1", "sg-2")


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"tag": "team"}, "write KEY=VALUE"),
        ({"tag": "swarm:token=x"}, "not yours to set"),
        ({"tag": ",".join(f"k{n}=v" for n in range(41))}, "40 at most"),
        ({"address": "elastic"}, "public or private"),
        ({"arg": "ex_force_auth_token=x"}, "in clear"),
        ({"arg": "api_key=x"}, "SWARMCTL_CLOUD_KEY"),
        ({"security-group": "sg-1,web"}, "not both"),
        ({"security-group": "sg-1"}, "belong to --cloud-subnet"),
        ({"security-group": "web", "subnet": "subnet-1"}, "names to the default network"),
    ],
)
def test_what_cannot_be_is_refused_by_name(more: dict[str, str], told: str) -> None:
    with pytest.raises(InvalidArgument, match=told):
        wish_of({**LEAST, **more})
