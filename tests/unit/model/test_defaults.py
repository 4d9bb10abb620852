from swarm.api.v1.specs_pb2 import ClusterSpec, ContainerSpec, ServiceSpec, TaskSpec
from swarm.api.v1.types_pb2 import RestartPolicy, UpdateConfig
from swarm.clock import SECOND
from swarm.model import defaults


def test_what_nobody_set_has_its_documented_value():
    spec = ServiceSpec()
    assert defaults.replicas(spec) == 1
    assert not defaults.is_global(spec)
    assert defaults.restart(spec.task) == defaults.Restart(RestartPolicy.CONDITION_ANY, 5 * SECOND, 0, 0)
    expected = defaults.Update(
        1, 0, UpdateConfig.FAILURE_ACTION_PAUSE, 5 * SECOND, 0.0, UpdateConfig.ORDER_STOP_FIRST
    )
    assert defaults.update(spec) == defaults.rollback(spec) == expected
    assert defaults.stop_grace_period_ns(ContainerSpec()) == 10 * SECOND
    cluster = ClusterSpec()
    assert defaults.task_history_limit(cluster) == 5
    assert defaults.heartbeat_period_ns(cluster) == 2_500_000_000
    assert defaults.node_cert_expiry_ns(cluster) == 90 * 86400 * SECOND
    assert defaults.snapshot_interval(cluster) == 10_000


def test_zero_that_somebody_set_is_zero():
    spec = ServiceSpec()
    spec.replicated.replicas = 0
    spec.update.parallelism = 0
    spec.update.monitor_ns = 0
    assert defaults.replicas(spec) == 0
    assert defaults.update(spec).parallelism == 0
    assert defaults.update(spec).monitor_ns == 0
    assert defaults.rollback(spec).parallelism == 1
    task = TaskSpec()
    task.restart.delay_ns = 0
    assert defaults.restart(task).delay_ns == 0
    assert defaults.stop_grace_period_ns(ContainerSpec(stop_grace_period_ns=0)) == 0
    assert defaults.task_history_limit(ClusterSpec(task_history_limit=0)) == 0


def test_reading_a_default_leaves_the_spec_as_it_was_sent():
    spec = ServiceSpec()
    defaults.update(spec)
    defaults.restart(spec.task)
    defaults.replicas(spec)
    assert spec == ServiceSpec()
    assert spec.ByteSize() == 0


def test_a_global_service_has_no_number_of_replicas():
    spec = ServiceSpec()
    getattr(spec, "global").SetInParent()
    assert defaults.is_global(spec)
    assert defaults.replicas(spec) == 0
