import pytest

from swarm.machine.endpoint import Hop
from swarm.machine.errors import HostKeyRefused, HostKeyUnknown
from swarm.machine.host_keys import (
    HostKey,
    HostKeyPolicy,
    Trust,
    check_key,
    known_hosts_text,
    parse_known_hosts,
)

HOP = Hop("10.0.0.1")
ONE = HostKey("ssh-ed25519", "QUJD")
TWO = HostKey("ssh-ed25519", "REVG")


def test_a_fingerprint_is_written_as_openssh_does() -> None:
    assert ONE.fingerprint == "SHA256:tdQEXD9Gb6kf4sxqvnkjKhpXzfEE96JucW4KHieJ33g"


@pytest.mark.parametrize("trust", list(Trust))
def test_a_changed_key_is_refused_whatever_is_trusted(trust: Trust) -> None:
    with pytest.raises(HostKeyRefused, match="CHANGED"):
        check_key(HOP, TWO, (ONE,), HostKeyPolicy(trust))
    with pytest.raises(HostKeyRefused, match="CHANGED"):
        check_key(HOP, TWO, (ONE,), HostKeyPolicy(trust, TWO.fingerprint))


def test_a_known_key_is_accepted_and_a_new_one_as_the_policy_says() -> None:
    check_key(HOP, ONE, (TWO, ONE), HostKeyPolicy(Trust.STRICT))
    check_key(HOP, ONE, (), HostKeyPolicy(Trust.ACCEPT_NEW))
    for trust in (Trust.ASK, Trust.STRICT):
        with pytest.raises(HostKeyUnknown, match="--host-key SHA256:"):
            check_key(HOP, ONE, (), HostKeyPolicy(trust))


def test_files_of_known_hosts_are_read_and_written() -> None:
    text = (
        "# x\n10.0.0.1,m1 ssh-ed25519 QUJD\n[h]:2222 ssh-rsa REVG note\n@revoked a ssh-rsa AA\n"
        "|1|a|b ssh-rsa AA\nbad\n"
    )
    found = parse_known_hosts(text)
    assert found == {"10.0.0.1": (ONE,), "m1": (ONE,), "[h]:2222": (HostKey("ssh-rsa", "REVG"),)}
    assert parse_known_hosts(known_hosts_text(found)) == found
