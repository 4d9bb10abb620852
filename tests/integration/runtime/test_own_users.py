"""Containers with users of their own: who they are on the node, and what they own."""

import subprocess
import tarfile
from collections.abc import AsyncIterator, Iterator
from functools import partial
from io import BytesIO
from pathlib import Path
from secrets import token_hex

import pytest

from swarm.errors import TaskRejected
from swarm.runtime.abilities import Ability
from swarm.runtime.base import BindMount, ExecConfig
from swarm.runtime.oci.user_namespaces import stage_of
from swarm.runtime.oci.user_ranges import SUBORDINATE_IDS
from tests.integration.runtime.labs import Lab, has_said, run, runs_program, said, until

pytestmark = pytest.mark.integration
USERS = 65_536


def owner(pid: int) -> int:
    return Path(f"/proc/{pid}").stat().st_uid


@pytest.fixture
def users_lab(oci_lab: Lab) -> Lab:
    if Ability.USERS not in oci_lab.capabilities.abilities:
        pytest.skip(oci_lab.capabilities.info["user_namespaces"])
    return oci_lab


async def test_root_inside_is_nobody_on_the_node_and_owns_what_it_sees(
    users_lab: Lab, tmp_path: Path
) -> None:
    driver = users_lab.driver()
    volume = tmp_path / "volume"
    volume.mkdir()
    (volume / "mine").write_text("x")
    script = (
        "id -u; stat -c %u /bin/busybox /etc / /etc/hosts /etc/hostname; "
        "echo hello > /srv/new; echo hello > /data/new; stat -c %u /data/mine; "
        "mkdir /tmp/d && chown 1234:2345 /tmp/d; hostname; "
        "cat /etc/resolv.conf >/dev/null && echo resolves; exec sleep 100"
    )
    config = users_lab.config(
        script, users=USERS, mounts=[BindMount(str(volume), "/data")], hostname="inside"
    )
    await driver.create(config)
    info = await driver.start(config.id)
    await until(partial(has_said, driver, config.id, "resolves"))
    first = int(Path(f"/proc/{info.pid}/uid_map").read_text().split()[1])
    assert SUBORDINATE_IDS.first <= first < SUBORDINATE_IDS.first + SUBORDINATE_IDS.size
    assert Path(f"/proc/{info.pid}/uid_map").read_text().split() == ["0", str(first), str(USERS)]
    assert owner(info.pid) == first
    command = await driver.exec(config.id, ExecConfig(command=["sh", "-c", "id -u; stat -c %u /tmp/d"]))
    output = b"".join([data async for _, data in command.output()])
    assert (output, await command.wait()) == (b"0\n1234\n", 0)
    assert (await said(driver, config.id))[:9] == [*["0"] * 7, "inside", "resolves"]
    assert (volume / "new").stat().st_uid == 0  # a volume has the owners that its users see
    copied = b"".join([chunk async for chunk in driver.copy_from(config.id, "/tmp/d")])
    with tarfile.open(fileobj=BytesIO(copied)) as archive:
        assert [(one.name, one.uid) for one in archive] == [("d", 1234)]
    for keep_owner in (True, False):
        await driver.copy_to(config.id, "/srv", _once(copied), keep_owner=keep_owner)
        command = await driver.exec(config.id, ExecConfig(command=["stat", "-c", "%u:%g", "/srv/d"]))
        output = b"".join([data async for _, data in command.output()])
        assert output == (b"1234:2345\n" if keep_owner else b"0:0\n")
    await driver.remove(config.id)
    assert not stage_of(config.id).exists()


async def _once(data: bytes) -> AsyncIterator[bytes]:
    yield data


async def test_containers_do_not_share_users_and_the_next_agent_knows_whose_are_whose(
    users_lab: Lab,
) -> None:
    driver = users_lab.driver()
    configs = [users_lab.config("exec sleep 100", users=USERS) for _ in range(3)]
    for config in configs[:2]:
        await driver.create(config)
        await driver.start(config.id)
    await driver.close()
    driver = users_lab.driver()
    await driver.adopt()
    await driver.create(configs[2])
    await driver.start(configs[2].id)
    infos = [await driver.inspect(config.id) for config in configs]
    for info in infos:
        assert info is not None
        await until(partial(runs_program, info.pid, "sleep"))  # before, a process may still be root's
    owners = {owner(info.pid) for info in infos if info}
    assert len(owners) == 3
    assert min(abs(a - b) for a in owners for b in owners if a != b) >= USERS


@pytest.fixture
def netns() -> Iterator[str]:
    name = f"swarm-test-{token_hex(4)}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    yield f"/run/netns/{name}"
    subprocess.run(["ip", "netns", "del", name], check=True)


async def test_the_nodes_network_is_joined_and_its_parameters_are_set(users_lab: Lab, netns: str) -> None:
    driver = users_lab.driver()
    script = (
        "cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/net/core/somaxconn; ls /sys/fs/cgroup"
    )
    config = users_lab.config(
        script, users=USERS, netns_path=netns, user="web", sysctls={"net.core.somaxconn": "77"}
    )
    code, lines = await run(driver, config)
    assert (code, lines[:2]) == (0, ["0", "77"])


async def test_a_user_beyond_the_range_and_too_few_ids_are_refused(users_lab: Lab) -> None:
    driver = users_lab.driver()
    with pytest.raises(TaskRejected, match="70000 is not one of the 65536"):
        await driver.create(users_lab.config("true", users=USERS, user="70000"))
    with pytest.raises(TaskRejected, match="subordinate_ids"):
        await driver.create(users_lab.config("true", users=SUBORDINATE_IDS.size + 1))
    assert users_lab.leftovers() == []
    assert await run(driver, users_lab.config("id -u", users=USERS, user="1234")) == (0, ["1234"])
