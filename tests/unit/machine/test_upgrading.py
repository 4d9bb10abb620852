from pathlib import Path

from swarm.cli.templates.functions import text_of
from swarm.machine.endpoint import Endpoint, Hop
from swarm.machine.probe import script
from swarm.machine.store import Record
from swarm.machine.upgrading import hindrance, next_wave, not_running

ROOT = Path(__file__).resolve().parents[3]


def record(name: str, role: str) -> Record:
    return Record(name=name, driver="generic", endpoint=Endpoint(Hop(name)), role=role, node_id=f"id-{name}")


def rows(**status: str) -> list[dict[str, str]]:
    return [{"ID": f"id-{name}", "Hostname": name, "ManagerStatus": text} for name, text in status.items()]


def whole(machines: list[Record], parallel: int, **status: str) -> list[list[str]]:
    """All waves, when nobody else comes to lead meanwhile."""
    found = []
    while machines:
        wave = next_wave(machines, rows(**status), parallel)
        found.append([one.name for one in wave])
        machines = [one for one in machines if one not in wave]
    return found


def test_workers_go_first_and_the_leader_last() -> None:
    machines = [
        record("m1", "manager"),
        record("w2", "worker"),
        record("m2", "manager"),
        record("w1", "worker"),
    ]
    assert whole(machines, 1, m1="Leader", m2="Reachable", w1="", w2="") == [["w1"], ["w2"], ["m2"], ["m1"]]


def test_workers_go_together_and_managers_never() -> None:
    machines = [record(f"w{n}", "worker") for n in range(5)] + [record(f"m{n}", "manager") for n in range(3)]
    waves = whole(machines, 2, m0="Reachable", m1="Leader", m2="Reachable")
    assert waves == [["w0", "w1"], ["w2", "w3"], ["w4"], ["m0"], ["m2"], ["m1"]]


def test_who_leads_by_now_is_last_whoever_led_before() -> None:
    managers = [record("m1", "manager"), record("m2", "manager")]
    assert next_wave(managers, rows(m1="Leader", m2="Reachable"), 1)[0].name == "m2"
    assert next_wave(managers, rows(m1="Reachable", m2="Leader"), 1)[0].name == "m1"


def test_tasks_are_waited_for_that_ran_before_and_are_still_to_run_here() -> None:
    before = [task("web.1", "Running 2 minutes ago"), task("web.2", "Starting"), task("db.1", "Running")]
    now = [task("web.1", "Starting"), task("web.2", "Starting"), task("new.1", "Pending")]
    assert not_running(before, now) == ["web.1"]  # db.1 went elsewhere; the others did not run before
    assert not_running(before, [task("web.1", "Running 1 second ago")]) == []


def task(name: str, state: str) -> dict[str, str]:
    return {"Name": name, "CurrentState": state}


def test_a_manager_may_go_while_all_others_answer() -> None:
    assert hindrance(rows(m1="Leader", m2="Reachable", m3="Reachable"), "id-m1") == ""
    lost = rows(m1="Leader", m2="Reachable", m3="Unreachable")
    assert "m3 cannot be reached" in hindrance(lost, "id-m1")
    assert hindrance(lost, "id-m3") == ""  # the lost one itself costs nothing
    five = rows(m1="Leader", m2="Reachable", m3="Reachable", m4="Reachable", m5="Unreachable")
    assert "m5 cannot be reached" in hindrance(five, "id-m1")  # there would be a majority, and no reserve


def test_a_worker_may_always_go() -> None:
    assert hindrance(rows(m1="Leader", m2="Unreachable", m3="Reachable", w1=""), "id-w1") == ""


def test_one_or_two_managers_have_no_choice_as_long_as_all_are_there() -> None:
    assert hindrance(rows(m1="Leader"), "id-m1") == ""
    assert hindrance(rows(m1="Leader", m2="Reachable"), "id-m2") == ""
    assert hindrance(rows(m1="Leader", m2="Unreachable"), "id-m1") != ""


def test_a_member_counts_as_healthy_when_swarmctl_says_that_it_is_connected() -> None:
    printed = text_of(True)
    assert f"|*/{printed}" in script("activate.sh")
    assert f"connected.stdout == '{printed}'" in (ROOT / "deploy/ansible/package.yaml").read_text()
