"""What a node says of itself."""

from pathlib import Path

from swarm.agent.description import describe_node, total_memory_bytes
from swarm.runtime.base import Capabilities


def test_a_node_names_its_platform_resources_labels_and_runtime(tmp_path: Path) -> None:
    memory = tmp_path / "meminfo"
    memory.write_text("MemFree:  1 kB\nMemTotal:       2048 kB\n")
    capabilities = Capabilities(driver="oci", isolated=True, info={"binary": "crun"})
    found = describe_node("worker-1", {"disk": "ssd"}, capabilities, memory)
    assert found.hostname == "worker-1"
    assert found.platform.os == "linux"
    assert found.platform.architecture
    assert found.resources.memory_bytes == 2048 * 1024
    assert found.resources.nano_cpus >= 1_000_000_000
    assert found.engine_labels == {"disk": "ssd"}
    assert found.engine_version
    assert (found.runtime, found.runtime_info["binary"], found.runtime_info["isolated"]) == (
        "oci",
        "crun",
        "true",
    )


def test_memory_that_cannot_be_read_is_zero(tmp_path: Path) -> None:
    assert total_memory_bytes(tmp_path / "none") == 0
    (tmp_path / "odd").write_text("MemTotal:\n")
    assert total_memory_bytes(tmp_path / "odd") == 0


def test_a_node_says_what_else_it_has() -> None:
    description = describe_node("h", {}, Capabilities("fake", isolated=False), generic_resources=("ssd=3",))
    assert [(one.kind, one.count) for one in description.resources.generic] == [("ssd", 3)]
