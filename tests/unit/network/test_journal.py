from ipaddress import IPv4Address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm.agent.network.base import PublishedPort, TaskNetwork
from swarm.agent.network.journal import Access, Grant, Ledger, decode, encode, load, save

PORTS = st.builds(
    PublishedPort, st.sampled_from(["tcp", "udp"]), st.integers(1, 65535), st.integers(1, 65535)
)
MACS = st.sampled_from(["", "02:42:ac:11:00:02"])
NETWORKS = st.builds(TaskNetwork, st.text("abc"), st.lists(st.ip_addresses().map(str)).map(tuple), mac=MACS)
GRANTS = st.builds(
    Grant,
    st.ip_addresses(v=4),
    st.lists(PORTS, max_size=3).map(tuple),
    st.lists(NETWORKS, max_size=3).map(tuple),
    st.sampled_from(Access),
    MACS,
)
LEDGERS = st.builds(
    Ledger, st.dictionaries(st.text("abc123", min_size=1), GRANTS), st.none() | st.ip_addresses(v=4)
)


@given(LEDGERS)
def test_what_is_written_is_read_again(ledger: Ledger) -> None:
    assert decode(encode(ledger)) == ledger


@given(LEDGERS, st.data())
def test_half_a_file_is_an_empty_ledger_or_none_at_all(ledger: Ledger, data: st.DataObject) -> None:
    text = encode(ledger)
    cut = data.draw(st.integers(0, len(text) - 1))
    with pytest.raises((ValueError, KeyError, TypeError)):
        decode(text[:cut])


def test_a_missing_file_and_a_broken_one_are_an_empty_ledger(tmp_path: Path) -> None:
    assert load(tmp_path / "none.json") == Ledger()
    (tmp_path / "broken.json").write_text('{"grants": [1]}')
    assert load(tmp_path / "broken.json") == Ledger()


def test_saving_replaces_the_file_in_one_step(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "network.json"
    ledger = Ledger().with_grant(
        "task", Grant(IPv4Address("172.30.0.16"), (PublishedPort("tcp", 8080, 80),))
    )
    save(path, Ledger())
    save(path, ledger)
    assert load(path) == ledger
    assert [child.name for child in path.parent.iterdir()] == ["network.json"]


def test_the_ledger_knows_who_has_what() -> None:
    port = PublishedPort("tcp", 8080, 80)
    ledger = Ledger().with_grant("task", Grant(IPv4Address("172.30.0.16"), (port,)))
    assert ledger.ports() == {("tcp", 8080, ""): "task"}
    assert ledger.addresses() == {IPv4Address("172.30.0.16")}
    without = ledger.without("task")
    assert (without.ports(), without.addresses()) == ({}, frozenset())
    assert without.last_address == IPv4Address(
        "172.30.0.16"
    )  # remembered, so that it is not given away next


def test_a_journal_of_an_agent_that_knew_no_networks_is_read() -> None:
    old = '{"last_address": null, "grants": {"t1": {"address": "172.30.0.16", "ports": []}}}'
    assert decode(old).grants["t1"] == Grant(IPv4Address("172.30.0.16"))
