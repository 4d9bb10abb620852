"""Which way to run containers is chosen, and what is said when there is none."""

import json
from pathlib import Path

import pytest

from swarm.errors import FailedPrecondition, TaskRejected
from swarm.runtime.oci import binaries, probe
from swarm.runtime.oci.driver import OciDriver
from tests.integration.runtime.labs import Lab, run

pytestmark = pytest.mark.integration


async def test_the_self_test_says_what_was_chosen_and_leaves_nothing(new_oci_lab: Lab) -> None:
    capabilities = await new_oci_lab.driver().probe()
    assert capabilities.driver == "oci"
    assert capabilities.isolated
    info = capabilities.info
    assert info["runtime"].startswith(new_oci_lab.kind.removeprefix("oci-"))
    assert info["cgroup_version"] in {"1", "2"}
    assert "passed the self-test" in info["why"]
    assert info["runtime_version"][0].isdigit()
    assert new_oci_lab.leftovers() == []
    assert not (new_oci_lab.base / "state/self-test").exists()


async def test_the_second_start_trusts_the_first_ones_test(
    new_oci_lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await new_oci_lab.driver().probe()
    monkeypatch.setattr(probe, "run_self_test", None)  # calling it would be an error
    assert await new_oci_lab.driver().probe() == first


async def test_another_boot_is_tested_anew(new_oci_lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    await new_oci_lab.driver().probe()
    monkeypatch.setattr(probe, "boot_id", lambda: "another")
    monkeypatch.setattr(probe, "run_self_test", _fail)
    with pytest.raises(FailedPrecondition, match="tested again"):
        await new_oci_lab.driver().probe()
    assert new_oci_lab.leftovers() == []


async def _fail(*_: object) -> None:
    raise FailedPrecondition("tested again")


async def test_a_damaged_memory_of_the_test_is_no_obstacle(new_oci_lab: Lab) -> None:
    await new_oci_lab.driver().probe()
    path = new_oci_lab.base / "state/probe.json"
    key = json.loads(path.read_text())["key"]
    for damage in ("", "[]", "{", json.dumps({"key": key, "choice": {}}), json.dumps({"key": key})):
        path.write_text(damage)
        assert (await new_oci_lab.driver().probe()).driver == "oci"


async def test_a_runtime_that_does_not_work_is_passed_over(
    new_oci_lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = new_oci_lab.base / "broken"
    broken.write_text("#!/bin/sh\necho cannot work here >&2; exit 1\n")
    broken.chmod(0o755)
    name = new_oci_lab.kind.removeprefix("oci-")
    working = binaries.find(name)

    def find(program: str) -> str | None:
        return {"broken": str(broken), name: working}.get(program) or real_find(program)

    real_find = binaries.find
    monkeypatch.setattr(binaries, "find", find)
    driver = OciDriver(
        new_oci_lab.base / "state",
        new_oci_lab.base / "run",
        new_oci_lab.cgroup_parent,
        new_oci_lab.images,
        preference=("broken", name),
    )
    new_oci_lab.drivers.append(driver)
    info = (await driver.probe()).info
    assert info["runtime"].startswith(name)
    assert "not broken: cannot work here" in info["why"]
    assert new_oci_lab.leftovers() == []


async def test_without_conmon_our_own_shim_holds_the_containers(
    oci_lab: Lab, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    real_find = binaries.find
    monkeypatch.setattr(binaries, "find", lambda name: None if name == "conmon" else real_find(name))
    places = (tmp_path / "state", tmp_path / "run", oci_lab.cgroup_parent)
    driver = OciDriver(*places, oci_lab.images, preference=(oci_lab.kind.removeprefix("oci-"),))
    try:
        info = (await driver.probe()).info
        assert info["conmon_version"] == "1.0"
        config = oci_lab.config("echo out; echo err >&2; exit 9")
        assert await run(driver, config) == (9, ["out"])
        config = oci_lab.config("stty size; exit 5", tty=True)
        assert (await run(driver, config))[0] == 5
        with pytest.raises(TaskRejected, match="not found in"):
            await driver.create(oci_lab.config("no-such-program", "x"))
    finally:
        await driver.cleanup()


async def test_nothing_that_works_is_one_clear_error(new_oci_lab: Lab) -> None:
    driver = OciDriver(
        new_oci_lab.base / "state",
        new_oci_lab.base / "run",
        new_oci_lab.cgroup_parent,
        new_oci_lab.images,
        preference=("no-such",),
    )
    new_oci_lab.drivers.append(driver)
    with pytest.raises(FailedPrecondition, match="apt-get install crun conmon"):
        await driver.probe()
