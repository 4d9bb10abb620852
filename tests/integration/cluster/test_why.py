"""Why a task does not run, asked of a real cluster by name, prefix, and for scripts."""

import json

from swarm.dev.cluster import DevCluster
from swarm.runtime.oci.cgroups import read_layout
from swarm.runtime.oci.probe import controllers
from tests.integration.operator import Operator, wait_until

CREATE = ("service", "create", "-d", "--restart-condition", "none")


def error_of(operator: Operator, service: str, words: str) -> str:
    """Wait until the tasks of a service say `words` in the column ERROR, and return what else they say."""

    def errors() -> str:
        rows = operator.rows("service", "ps", "--no-trunc", service)
        return next((row["Error"] for row in rows if words in row["Error"]), "")

    return wait_until(errors, what=f"{service} to say {words}")


def test_a_task_without_a_node_says_what_every_node_lacks(operator: Operator, cluster: DevCluster) -> None:
    operator(*CREATE, "--name", "picky", "--constraint", "node.labels.disk==ssd", "hello:1")
    said = error_of(operator, "picky", "no suitable node")
    assert "node.labels.disk==ssd is not met by 5 nodes" in said
    page = operator("task", "why", "picky.1")
    assert all(f"  {node.name}" in page for node in cluster.plan.nodes)
    assert "swarmctl node update --label-add" in page
    (found,) = json.loads(operator("task", "why", "--format", "json", "picky.1"))
    assert {node["Hostname"] for node in found["Nodes"]} == {node.name for node in cluster.plan.nodes}
    assert operator.on("manager-2")("task", "why", found["ID"][:8]).splitlines()[0] == page.splitlines()[0]
    assert "picky.1: no suitable node" in operator("service", "why", "picky")
    operator("service", "rm", "picky")


def test_a_port_that_is_taken_and_memory_that_is_nowhere_are_told(operator: Operator) -> None:
    publish = ("--publish", "mode=host,published=18080,target=80", "--constraint", "node.hostname==worker-1")
    operator(*CREATE, "--name", "first", *publish, "hello:1")
    operator.wait_running("first", 1)
    operator(*CREATE, "--name", "second", *publish, "hello:1")
    assert "port 18080/tcp is taken by service first on worker-1" in error_of(operator, "second", "port")
    operator(*CREATE, "--name", "huge", "--reserve-memory", "900t", "hello:1")
    assert "needs 900 TiB of memory, the most free is " in error_of(operator, "huge", "insufficient")
    operator("service", "rm", "first", "second", "huge")


def test_what_ended_says_why_and_its_history_is_told(operator: Operator) -> None:
    operator(*CREATE, "--name", "ends", "--entrypoint", "/bin/sh", "hello:1", "-c", "exit 127")
    assert "exit code 127: its command was not found" in error_of(operator, "ends", "127")
    operator(*CREATE, "--name", "nobody", "--user", "nosuchuser", "hello:1")
    assert "unable to find user nosuchuser" in error_of(operator, "nobody", "user")
    (found,) = json.loads(operator("task", "history", "--format", "json", "ends.1"))
    states = [step["State"] for step in found["History"]]
    assert states[0] == "new"
    assert states[-1] == "failed"
    assert "preparing" in states
    wrong = operator.typed("task", "why", "ends.7")
    assert (wrong.returncode, wrong.stdout) == (1, "")
    assert "there is no task ends.7" in wrong.stderr
    operator("service", "rm", "ends", "nobody")


def test_a_container_out_of_memory_and_a_limit_that_was_clamped_say_so(operator: Operator) -> None:
    options = ("--init", "--ulimit", "nofile=64:99999999999", "--cap-drop", "ALL", "--host", "db:10.0.0.9")
    operator("service", "create", "-d", "--name", "clamped", *options, "hello:1")
    operator.wait_running("clamped", 1)
    page = operator("task", "why", "clamped.1")
    assert "it runs, but: ulimit nofile=64:99999999999 is more than this node can grant" in page
    if "memory" in controllers(read_layout()):
        eat = "exec busybox dd if=/dev/zero of=/dev/null bs=64M count=1"
        operator(
            *(*CREATE, "--name", "greedy", "--limit-memory", "16m"),
            *("--entrypoint", "/bin/sh", "hello:1", "-c", eat),
        )
        said = error_of(operator, "greedy", "OOMKilled")
        assert "exit code 137" in said
        assert "out of memory: the container used its limit of 16 MiB" in said
        (task,) = json.loads(operator("task", "inspect", "greedy.1"))
        assert task["Status"]["ContainerStatus"]["OOMKilled"] is True
        operator("service", "rm", "greedy")
    operator("service", "rm", "clamped")
