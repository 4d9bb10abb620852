"""What a scrape shows."""

from prometheus_client.parser import text_string_to_metric_families

from swarm.telemetry.metrics import Metrics
from swarm.telemetry.samples import (
    AgentSample,
    AutoscaledService,
    DiskUse,
    ManagerSample,
    NodeSample,
    TaskUse,
    count_by,
)

SAMPLE = NodeSample(
    manager=ManagerSample(
        leader=True,
        raft_term=3,
        raft_commit_index=12,
        store_index=11,
        services=2,
        managers=3,
        raft_delay_s=0.25,
        loop_delay_s=0.5,
        nodes={"ready": 4, "down": 1},
        tasks={"running": 6},
        autoscaled=(AutoscaledService("web", 7, held=True),),
    ),
    agent=AgentSample(
        connected=True,
        containers={"running": 2},
        uses=(
            TaskUse("web", "web.1", 1.5, 4096, {"network_sent": 12, "disk_read": 13}),
            TaskUse("web", "web.2", 1.5, 4096),
        ),
        names={
            "questions.a": 3,
            "no_such_name": 1,
            "own.le.0.0001": 2,
            "own.le.5.0": 0,
            "own.le.inf": 1,
            "own.seconds": 9.5,
        },
        tunnel={"peers": 4, "stale_peers": 1, "received_bytes": 70, "sent_bytes": 50},
        requests={("web", "2xx"): 7, ("web", "5xx"): 1},
        unhealthy=1,
        plain=3,
        disks=(DiskUse("/data", 100, 30, 7),),
        disk_pressure=True,
    ),
    certificate_expires_at_s=1e9,
)


def scraped(metrics: Metrics, sample: NodeSample) -> dict[tuple[str, ...], float]:
    text = metrics.render(sample).decode()
    return {
        (item.name, *item.labels.values()): item.value
        for family in text_string_to_metric_families(text)
        for item in family.samples
    }


def test_a_scrape_shows_what_the_node_knows() -> None:
    found = scraped(Metrics(), SAMPLE)
    assert found["swarm_manager_nodes", "down"] == 1
    assert found["swarm_manager_tasks", "running"] == 6
    assert found["swarm_manager_leader",] == 1
    assert found["swarm_raft_term",] == 3
    assert found["swarm_raft_delay_seconds",] == 0.25
    assert found["swarm_manager_loop_delay_seconds",] == 0.5
    assert found["swarm_agent_containers", "running"] == 2
    assert found["swarm_agent_task_cpu_seconds_total", "web", "web.1"] == 1.5
    assert found["swarm_agent_task_memory_bytes", "web", "web.1"] == 4096
    assert found["swarm_agent_task_network_sent_bytes_total", "web", "web.1"] == 12
    assert found["swarm_agent_task_disk_read_bytes_total", "web", "web.1"] == 13
    assert ("swarm_agent_task_disk_read_bytes_total", "web", "web.2") not in found
    assert found["swarm_names_questions_total", "a"] == 3
    assert found["swarm_names_no_such_name_total",] == 1
    assert (found["swarm_tunnel_peers",], found["swarm_tunnel_stale_peers",]) == (4, 1)
    assert found["swarm_tunnel_received_bytes_total",] == 70
    assert found["swarm_names_forwarded_total",] == 0
    assert found["swarm_names_answer_seconds_bucket", "own", "5.0"] == 2
    assert found["swarm_names_answer_seconds_count", "own"] == 3
    assert found["swarm_names_answer_seconds_sum", "own"] == 9.5
    assert found["swarm_agent_containers_unhealthy",] == 1
    assert found["swarm_http_requests_total", "2xx", "web"] == 7
    assert found["swarm_agent_plain_containers_running",] == 3
    assert found["swarm_node_disk_pressure",] == 1
    assert found["swarm_node_disk_free_bytes", "/data"] == 30
    assert found["swarm_node_disk_free_inodes", "/data"] == 7
    assert found["process_resident_memory_bytes",] > 0


def test_autoscaling_is_shown_and_its_changes_are_counted() -> None:
    metrics = Metrics()
    metrics.scaled("up")
    found = scraped(metrics, SAMPLE)
    assert found["swarm_autoscale_replicas", "web"] == 7
    assert found["swarm_autoscale_held", "web"] == 1
    assert found["swarm_autoscale_changes_total", "up"] == 1
    assert found["swarm_autoscale_changes_total", "down"] == 0


def test_a_node_outside_a_cluster_shows_no_cluster() -> None:
    found = scraped(Metrics(), NodeSample())
    assert found["swarm_node_manager",] == 0
    assert not [name for name, *_ in found if name.startswith(("swarm_manager", "swarm_agent"))]


def test_commits_are_counted_in_buckets() -> None:
    metrics = Metrics()
    metrics.raft_commit_seconds.observe(0.0015)
    found = scraped(metrics, NodeSample())
    assert found["swarm_raft_commit_duration_seconds_bucket", "0.001"] == 0
    assert found["swarm_raft_commit_duration_seconds_bucket", "0.002"] == 1


def test_every_metric_has_a_help_text() -> None:
    for family in text_string_to_metric_families(Metrics().render(SAMPLE).decode()):
        assert family.documentation, family.name


def test_a_state_that_nothing_is_in_counts_zero() -> None:
    assert count_by(["running", "running"], ["running", "failed"]) == {"running": 2, "failed": 0}
