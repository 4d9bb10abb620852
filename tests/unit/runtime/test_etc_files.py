import pytest

from swarm.runtime.oci.etc_files import hosts_file, only_local_servers


def test_a_container_without_address_knows_only_localhost() -> None:
    assert "box" not in hosts_file("box", "")
    assert hosts_file("box", "10.0.0.1").endswith("10.0.0.1\tbox\n")
    assert hosts_file("box", "10.0.0.1", (), "shop.test").endswith("10.0.0.1\tbox.shop.test box\n")


@pytest.mark.parametrize(
    ("text", "local"),
    [
        ("nameserver 127.0.0.53\n", True),
        ("nameserver 127.0.0.1\nnameserver ::1\n", True),
        ("nameserver 127.0.0.1\nnameserver 10.0.0.1\n", False),
        ("# nameserver 127.0.0.1\n", False),
        ("nameserver\nnameserver nonsense\n", False),
        ("", False),
    ],
)
def test_servers_that_a_container_cannot_reach(text: str, local: bool) -> None:
    assert only_local_servers(text) is local
