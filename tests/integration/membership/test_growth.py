"""One manager, three, five, seven, three, one, while people write."""

from pathlib import Path

from tests.integration.membership.people import PATIENCE_S, Writers, get_done, leader, voters
from tests.integration.swarmd import daemons, wait_for

NAMES = ("a1", "a2", "a3", "a4", "a5", "a6", "a7")


def test_no_acknowledged_write_is_lost_while_managers_come_and_go(tmp_path: Path) -> None:
    with daemons(tmp_path, *NAMES) as made:
        tokens = made["a1"].init()
        for name in NAMES[1:]:
            made[name].join(tokens.worker_token, made["a1"].addr)
        with Writers(made.values()) as writers:
            _promote(made, "a2", "a3")
            _promote(made, "a4", "a5")
            _promote(made, "a6", "a7")
            before = writers.acknowledged
            wait_for(lambda: writers.acknowledged > before + 10, PATIENCE_S)
            first = leader(made)
            staying = [name for name in NAMES if name != first]
            get_done(made[staying[0]], "node", "demote", first, *staying[3:])
            wait_for(lambda: voters(made[staying[0]]) == set(staying[:3]), PATIENCE_S)
            last = next(name for name in staying[:3] if name != leader(made))
            get_done(made[last], "node", "demote", *[name for name in staying[:3] if name != last])
            wait_for(lambda: voters(made[last]) == {last}, PATIENCE_S)
            before = writers.acknowledged
            wait_for(lambda: writers.acknowledged > before + 10, PATIENCE_S)
            wait_for(lambda: len(writers.created) > 20, PATIENCE_S)  # a slow disk lets few of them through
        writers.check(made[last])
        for name in NAMES:
            if name != last:
                wait_for(lambda name=name: not (made[name].directory / "s" / "raft").exists(), PATIENCE_S)
                wait_for(lambda name=name: made[name].info().connected, PATIENCE_S)


def _promote(made, *names: str) -> None:
    get_done(made["a1"], "node", "promote", *names)
    wait_for(lambda: set(names) <= voters(made["a1"]), PATIENCE_S)
