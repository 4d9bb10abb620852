"""Answers about what would happen, for people and for scripts."""

import json

from swarm.api.v1 import control_pb2 as c
from swarm.cli import plan

STEP = c.PlannedStep


def an_answer(*steps: c.PlannedStep) -> c.PlanChangesResponse:
    services = [c.PlannedService(service_id="s", service_name="web", kept=3)]
    notes = ["all goes well"] if steps else []
    return c.PlanChangesResponse(steps=steps, services=services, notes=notes)


def a_step(kind: int, slot: int = 1, **more: str) -> c.PlannedStep:
    return c.PlannedStep(kind=kind, service_id="s", service_name="web", slot=slot, **more)


def test_people_see_a_table_sums_and_what_is_assumed():
    answer = an_answer(
        a_step(STEP.KIND_MOVE, 1, from_hostname="w1", hostname="w2", reason="its node is drained"),
        a_step(STEP.KIND_START, 2, hostname="w3"),
    )
    lines = plan.as_text(answer).splitlines()
    assert lines[0].split() == ["ACTION", "TASK", "FROM", "TO", "WHY"]
    assert lines[1].split()[:4] == ["move", "web.1", "w1", "w2"]
    assert "web: 1 start, 1 move, 3 stay as they are" in lines
    assert lines[-1] == "Note: all goes well."
    assert plan.exit_code(answer) == 0


def test_what_does_not_fit_is_summed_up_by_reason_and_has_its_own_exit_code():
    waits = [a_step(STEP.KIND_WAIT, slot, reason="no suitable node") for slot in (1, 2)]
    answer = an_answer(*waits)
    assert "Does not fit: 2 tasks of web: no suitable node" in plan.as_text(answer)
    assert plan.exit_code(answer) == 5
    assert plan.as_json(answer)["Fits"] is False


def test_nothing_to_do_is_said():
    assert plan.as_text(an_answer()).splitlines() == ["web: 3 stay as they are", "Nothing would happen."]


def test_a_long_plan_is_cut_for_people_and_whole_for_scripts():
    answer = an_answer(*[a_step(STEP.KIND_START, slot, hostname="w1") for slot in range(1, 151)])
    assert "… and 50 more (--format json shows all)" in plan.as_text(answer)
    told = json.loads(json.dumps(plan.as_json(answer)))
    assert len(told["Steps"]) == 150
    assert told["Services"][0]["start"] == 150
