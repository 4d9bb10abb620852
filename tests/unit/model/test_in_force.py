"""What holds in a service where nobody said anything."""

from swarm.api.v1.specs_pb2 import ServiceSpec
from swarm.api.v1.types_pb2 import RestartPolicy, UpdateConfig
from swarm.model.in_force import in_force
from swarm.timestamps import SECOND


def test_a_service_of_which_little_was_said_tells_what_holds() -> None:
    spec = ServiceSpec()
    whole = in_force(spec)
    assert whole.replicated.replicas == 1
    assert whole.task.container.stop_grace_period_ns == 10 * SECOND
    assert (whole.task.restart.condition, whole.task.restart.delay_ns) == (
        RestartPolicy.CONDITION_ANY,
        5 * SECOND,
    )
    for config in (whole.update, whole.rollback):
        assert (config.parallelism, config.monitor_ns, config.max_failure_ratio) == (1, 5 * SECOND, 0)
        assert config.HasField("failure_action")
        assert config.HasField("order")
    assert whole.HasField("endpoint")
    assert spec == ServiceSpec(), "what is given stays as it is"


def test_what_was_said_stays() -> None:
    spec = ServiceSpec()
    spec.replicated.replicas = 0
    spec.update.parallelism = 0
    spec.update.order = UpdateConfig.ORDER_START_FIRST
    spec.task.restart.max_attempts = 3
    whole = in_force(spec)
    assert whole.replicated.replicas == 0
    assert (whole.update.parallelism, whole.update.order) == (0, UpdateConfig.ORDER_START_FIRST)
    assert whole.task.restart.max_attempts == 3
    assert in_force(whole) == whole


def test_a_job_tells_how_often_it_runs_and_is_never_updated_task_by_task() -> None:
    spec = ServiceSpec()
    spec.replicated_job.total_completions = 5
    whole = in_force(spec)
    assert (whole.replicated_job.max_concurrent, whole.replicated_job.total_completions) == (5, 5)
    assert whole.task.restart.condition == RestartPolicy.CONDITION_ON_FAILURE
    assert not whole.HasField("update")


def test_global_services_have_no_number_and_autoscaled_ones_that_of_the_cluster() -> None:
    everywhere, scaled = ServiceSpec(), ServiceSpec()
    getattr(everywhere, "global").SetInParent()
    scaled.autoscale.replicas_max = 5
    assert in_force(everywhere).WhichOneof("mode") == "global"
    assert not in_force(scaled).replicated.HasField("replicas")
