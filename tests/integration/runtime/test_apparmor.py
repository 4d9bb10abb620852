"""Containers under AppArmor. Runs where the kernel has it active: `make cgroup2`."""

import pytest

from swarm.errors import TaskRejected
from swarm.runtime.base import ExecConfig, Security
from swarm.runtime.oci.apparmor import DEFAULT, loaded_profiles
from tests.integration.runtime.labs import Lab, run, running

pytestmark = pytest.mark.integration
LOOK = "cat /proc/self/attr/current"


async def test_containers_have_our_profile_unless_they_ask_for_another(oci_lab: Lab) -> None:
    driver = oci_lab.driver()
    await driver.probe()
    profiles = loaded_profiles()
    if profiles is None:
        with pytest.raises(TaskRejected, match="no AppArmor"):
            await driver.create(oci_lab.config(LOOK, security=Security(apparmor=DEFAULT)))
        pytest.skip("AppArmor is not active on this machine")
    assert DEFAULT in profiles
    # The help of sysrq: harmless where it is not denied.
    script = f"{LOOK}; (echo h > /proc/sysrq-trigger) 2>/dev/null || echo denied"
    uncovered = oci_lab.config(script, security=Security(unmasked_paths=True))
    assert await run(driver, uncovered) == (0, [f"{DEFAULT} (enforce)", "denied"])
    unconfined = oci_lab.config(LOOK, security=Security(apparmor="unconfined"))
    assert await run(driver, unconfined) == (0, ["unconfined"])
    privileged = oci_lab.config(LOOK, security=Security(privileged=True))
    assert await run(driver, privileged) == (0, ["unconfined"])
    with pytest.raises(TaskRejected, match="not loaded"):
        await driver.create(oci_lab.config(LOOK, security=Security(apparmor="nobody-has-this")))
    lasting = await running(driver, oci_lab.lasting())
    command = await driver.exec(lasting, ExecConfig(command=["sh", "-c", LOOK]))
    assert b"".join([data async for _, data in command.output()]) == f"{DEFAULT} (enforce)\n".encode()
