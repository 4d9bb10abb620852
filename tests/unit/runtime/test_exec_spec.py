"""What an OCI runtime is asked to run beside a container's own process."""

import pytest

from swarm.errors import TaskRejected
from swarm.runtime.base import ExecConfig
from swarm.runtime.oci.exec import exec_process
from swarm.runtime.oci.users import User

OWN = {
    "args": ["serve"],
    "env": ["PATH=/bin", "HOME=/root", "A=1"],
    "cwd": "/srv",
    "user": {"uid": 0, "gid": 0, "additionalGids": []},
    "capabilities": {"bounding": ["CAP_KILL"], "effective": ["CAP_KILL"], "permitted": ["CAP_KILL"]},
    "noNewPrivileges": True,
    "terminal": True,
}
MARK = "SWARM_EXEC_ID=e1"


def test_a_command_has_what_the_container_has_and_its_mark() -> None:
    process = exec_process(OWN, ExecConfig(("ls", "-l")), MARK, None, 0)
    assert process == {**OWN, "args": ["ls", "-l"], "env": [*OWN["env"], MARK], "terminal": False}


def test_what_the_command_brings_along_counts_more() -> None:
    config = ExecConfig(("sh",), env=["A=2", "B=3", "PATH"], working_dir="/tmp")
    process = exec_process(OWN, config, MARK, User(5, 6, (7,), "/home/web"), 0)
    assert process["env"] == ["HOME=/home/web", "A=2", "B=3", MARK]
    assert (process["cwd"], process["user"]) == ("/tmp", {"uid": 5, "gid": 6, "additionalGids": [7]})
    assert process["capabilities"] == OWN["capabilities"]
    with pytest.raises(TaskRejected):
        exec_process(OWN, ExecConfig(("sh",), env=["=x"]), MARK, None, 0)


def test_a_privileged_command_gets_what_the_agent_can_give_and_no_more() -> None:
    process = exec_process(OWN, ExecConfig(("sh",), privileged=True), MARK, None, 0b100001)
    assert process["capabilities"]["bounding"] == ["CAP_CHOWN", "CAP_KILL"]
    assert process["noNewPrivileges"] is False
    assert OWN["noNewPrivileges"] is True
