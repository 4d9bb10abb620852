"""Managers that move: they tell it, or are told."""

from pathlib import Path

from swarm.api.v1 import control_pb2 as control
from tests.integration.membership.people import (
    PATIENCE_S,
    get_done,
    managers,
    refused,
    replace_address,
    voters,
)
from tests.integration.swarmd import Daemon, daemons, wait_for

PORT = 2399  # of the one that listens on all addresses: nobody else's here


def recorded(asked: Daemon, name: str) -> str:
    return asked.nodes()[name].manager_status.addr


def known_to(daemon: Daemon) -> set[str]:
    return {peer.addr for peer in daemon.info().managers}


def test_a_manager_that_starts_elsewhere_tells_the_others(tmp_path: Path) -> None:
    with daemons(tmp_path, "m1", "m2", "m3", "w1") as made:
        group = managers(made, "m1", "m2", "m3")
        token = made["m1"].ask("GetJoinTokens", control.GetJoinTokensRequest()).worker
        made["w1"].join(token, made["m3"].addr)
        before = made["m3"].addr
        made["m3"].stop()
        addr = replace_address(made["m3"], 201)
        made["m3"].start()
        for name in group:
            wait_for(lambda name=name: recorded(made[name], "m3") == addr, PATIENCE_S)
        wait_for(lambda: voters(made["m1"]) == set(group), PATIENCE_S)
        assert made["m3"].info().addr == addr
        for daemon in made.values():
            wait_for(lambda daemon=daemon: addr in known_to(daemon), PATIENCE_S)
            assert before not in known_to(daemon)
        # It is a full member there: with it, and without another one, the managers decide.
        made["m2"].stop()
        get_done(made["m1"], "node", "update", "--label-add", "a=b", "m1")


def test_the_only_manager_moves(tmp_path: Path) -> None:
    with daemons(tmp_path, "m1", "m2") as made:
        made["m1"].init()
        made["m1"].stop()
        addr = replace_address(made["m1"], 202)
        made["m1"].start()
        wait_for(lambda: recorded(made["m1"], "m1") == addr, PATIENCE_S)
        token = made["m1"].ask("GetJoinTokens", control.GetJoinTokensRequest()).manager
        made["m2"].join(token, addr)
        wait_for(lambda: voters(made["m2"]) == {"m1", "m2"}, PATIENCE_S)


def test_a_manager_is_told_by_an_operator_that_it_has_moved(tmp_path: Path) -> None:
    with daemons(tmp_path, "m1", "m2", "m3", "w1") as made:
        managers(made, "m1", "m2")
        tokens = made["m1"].ask("GetJoinTokens", control.GetJoinTokensRequest())
        made["w1"].join(tokens.worker, made["m1"].addr)
        mover = made["m3"]
        mover.stop()
        mover._flags = ("--listen-addr", f"0.0.0.0:{PORT}")
        mover.start()
        net = mover.addr.rpartition(".")[0]
        request = control.JoinRequest(
            remote_addrs=[made["m1"].addr], token=tokens.manager, advertise_addr=f"{net}.203:{PORT}"
        )
        mover.local("Join", request)
        wait_for(lambda: voters(made["m1"]) == {"m1", "m2", "m3"}, PATIENCE_S)

        _refused_addresses(made, net)
        addr = f"{net}.204:{PORT}"
        get_done(made["m1"], "node", "update", "--addr", addr, "m3")  # if it answers there in time
        wait_for(lambda: mover.info().addr == addr and recorded(mover, "m3") == addr, PATIENCE_S)
        wait_for(lambda: voters(made["m2"]) == {"m1", "m2", "m3"}, PATIENCE_S)
        mover.stop()
        mover.start()
        wait_for(lambda: voters(made["m2"]) == {"m1", "m2", "m3"}, PATIENCE_S)
        assert recorded(made["m2"], "m3") == addr


def _refused_addresses(made: dict[str, Daemon], net: str) -> None:
    """Nothing but an address at which this very manager answers is taken."""
    before = recorded(made["m1"], "m3")
    for addr, said in (
        ("nonsense", "HOST:PORT"),
        (f"{net}.203:9", "the leader cannot reach a manager at"),
        (made["m2"].addr, "belongs to manager"),
    ):
        assert said in refused(made["m1"], "node", "update", "--addr", addr, "m3")
    assert "w1 is not a manager" in refused(made["m1"], "node", "update", "--addr", f"{net}.203:2377", "w1")
    assert recorded(made["m1"], "m3") == before
