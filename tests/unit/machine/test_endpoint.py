from pathlib import Path

import pytest

from swarm.errors import InvalidArgument
from swarm.machine.endpoint import Hop, parse_hop, parse_jumps
from swarm.machine.ssh_config import config_text, endpoint


@pytest.mark.parametrize(
    ("text", "hop"),
    [
        ("h", Hop("h")),
        ("ada@h:2222", Hop("h", 2222, "ada")),
        ("10.0.0.1:22", Hop("10.0.0.1")),
        ("[fd00::1]:2222", Hop("fd00::1", 2222)),
        ("fd00::1", Hop("fd00::1")),
        ("ada@corp@h", Hop("h", 22, "ada@corp")),
    ],
)
def test_addresses_are_read_as_people_write_them(text: str, hop: Hop) -> None:
    assert parse_hop(text) == hop
    assert parse_hop(str(hop)) == hop


@pytest.mark.parametrize(
    "text", ["", "@h", "h:0", "h:99999", "-oProxyCommand=x", "a b", "h;reboot", "-x@h", "h/"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match="is not \\[USER@\\]HOST"):
        parse_hop(text)


def test_hops_are_in_the_order_in_which_they_are_passed() -> None:
    assert parse_jumps("a, ada@b:23", "bob") == (Hop("a", 22, "bob"), Hop("b", 23, "ada"))
    assert parse_jumps("") == ()


def test_the_configuration_of_openssh_is_followed_where_nothing_is_given(tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text(
        "Host web\n HostName 10.0.0.7\n Port 2200\n User ada\n IdentityFile /keys/web\n ProxyJump gate\n"
        "Host gate\n HostName gate.example.com\n User bob\n Port 2201\n"
    )
    found = endpoint("web", config=config)
    assert found.hop == Hop("10.0.0.7", 2200, "ada")
    assert found.key == "/keys/web"
    assert found.jumps == (Hop("gate.example.com", 2201, "bob"),)
    given = endpoint("eve@web:23", key="/k", jumps="", config=config)
    assert (given.hop, given.key, given.jumps) == (Hop("10.0.0.7", 23, "eve"), "/k", ())
    assert endpoint("other", config=config).hop == Hop("other")


def test_what_is_written_for_openssh_leads_to_the_same_place(tmp_path: Path) -> None:
    reach = endpoint("ada@10.0.0.7:2200", key="/keys/web", jumps="bob@a,b:23")
    text = config_text(["m1"], [reach], [tmp_path / "known"])
    assert text.count("StrictHostKeyChecking yes") == 3
    (tmp_path / "config").write_text(text)
    again = endpoint("m1", config=tmp_path / "config")
    assert (again.hop, again.key) == (reach.hop, reach.key)
    assert again.jumps == (Hop("b", 23, "ada"),)  # of which the first is the configuration's own matter
