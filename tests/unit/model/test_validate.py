import pytest

from swarm.api.v1.specs_pb2 import ClusterSpec, NodeSpec, ServiceSpec
from swarm.api.v1.types_pb2 import Mount, PortConfig, UpdateConfig
from swarm.errors import InvalidArgument
from swarm.model.validate import service_warnings, validate_cluster, validate_node, validate_service

HOST = PortConfig.PUBLISH_MODE_HOST


def a_spec(**annotations: str) -> ServiceSpec:
    spec = ServiceSpec()
    spec.annotations.name = annotations.get("name", "web")
    spec.task.container.image = "web:1"
    return spec


def problem(change) -> str:
    spec = a_spec()
    change(spec)
    with pytest.raises(InvalidArgument) as caught:
        validate_service(spec)
    return str(caught.value)


def test_a_small_spec_is_valid():
    validate_service(a_spec())


def test_a_hostname_may_be_a_template_but_not_hide_bad_characters_around_it():
    spec = a_spec()
    spec.task.container.hostname = "web-{{.Task.Slot}}"
    validate_service(spec)
    spec.task.container.hostname = "web_{{.Task.Slot}}"
    with pytest.raises(InvalidArgument, match="hostname"):
        validate_service(spec)


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("hostname", "h-{{.Task.Slt}}"),
        ("env", "SLOT={{.Task.Slt}}"),
        ("env", "SLOT={{.Task.Slot"),
        ("env", 'KEY={{secret "key"}}'),
        ("label", "{{range .Service.Labels}}"),
        ("source", "/data/{{.Task}}"),
        ("target", "/data/{{.Task.Slt}}"),
    ],
)
def test_a_placeholder_that_means_nothing_is_refused_before_any_task_is(field, text):
    def change(spec):
        container = spec.task.container
        if field == "hostname":
            container.hostname = text
        elif field == "env":
            container.env.append(text)
        elif field == "label":
            container.labels["shop"] = text
        else:
            container.mounts.add(type=Mount.TYPE_BIND, **{"source": "/a", "target": "/b", field: text})

    assert "the placeholder {{" in problem(change)


def test_placeholders_of_labels_are_left_to_the_node():
    """The service may have the label by the time that the task starts."""
    spec = a_spec()
    spec.task.container.env.extend(["A={{.Service.Labels.later}}", 'B={{index .Service.Labels "b.c"}}'])
    spec.task.container.mounts.add(type=Mount.TYPE_VOLUME, source="data-{{.Task.Slot}}", target="/data")
    validate_service(spec)


def test_a_full_spec_is_valid():
    spec = a_spec()
    container = spec.task.container
    container.env.extend(["A=b", "INHERITED", "EMPTY="])
    container.mounts.add(type=Mount.TYPE_BIND, source="/data", target="/data", read_only=True)
    container.mounts.add(
        type=Mount.TYPE_TMPFS, target="/tmp", tmpfs=Mount.TmpfsOptions(size_bytes=1, mode=0o1777)
    )
    container.stop_signal, container.hostname, container.dir = "SIGRTMIN+3", "web.example.com", "/srv"
    container.stop_grace_period_ns = 0
    spec.task.resources.limits.nano_cpus = 1_000_000
    spec.task.resources.limits.memory_bytes = 4 << 20
    spec.task.placement.constraints.append("node.role==worker")
    spec.task.placement.preferences.add(spread="node.labels.zone")
    spec.replicated.replicas = 0
    spec.update.max_failure_ratio = 1
    for protocol in PortConfig.Protocol.values():
        spec.endpoint.ports.add(target_port=80, published_port=8080, publish_mode=HOST, protocol=protocol)
    validate_service(spec)
    assert service_warnings(spec) == []


@pytest.mark.parametrize("name", ["", "-web", "web-", "we b", "wéb", "a" * 64, "a.b", "web\n"])
def test_a_bad_name_is_refused(name):
    def change(spec):
        spec.annotations.name = name

    assert "name" in problem(change)


def test_every_problem_is_listed():
    def change(spec):
        spec.task.container.image = "Bad Image"
        spec.task.resources.limits.nano_cpus = 999_999
        spec.task.restart.delay_ns = -1

    text = problem(change)
    assert "invalid image reference" in text
    assert "0.001" in text
    assert "restart delay is negative" in text


def test_limits_and_reservations_have_a_floor():
    assert "4194304" in problem(lambda spec: setattr(spec.task.resources.limits, "memory_bytes", 1000))
    assert "minimum" in problem(lambda spec: setattr(spec.task.resources.reservations, "nano_cpus", -5))
    assert "minimum" in problem(lambda spec: setattr(spec.task.resources.reservations, "memory_bytes", -5))


def test_a_reservation_above_the_limit_is_refused():
    def change(spec):
        spec.task.resources.limits.memory_bytes = 8 << 20
        spec.task.resources.reservations.memory_bytes = 9 << 20

    assert "larger than the limit" in problem(change)


def test_labels_and_specs_have_a_size_that_the_error_names():
    text = problem(lambda spec: spec.annotations.labels.update({"k": "v" * 65536}))
    assert "all labels together: 65537 bytes" in text
    assert "65536 (LABELS_BYTES)" in text
    text = problem(lambda spec: spec.task.container.labels.update({"k": "v" * 65536}))
    assert "container labels together" in text
    text = problem(lambda spec: spec.task.container.env.append("A=" + "b" * (1 << 20)))
    assert "(SPEC_BYTES)" in text
    assert "no key" in problem(lambda spec: spec.annotations.labels.update({"": "v"}))


def test_an_absurd_number_of_replicas_is_refused():
    assert "the limit is 100000 (REPLICAS)" in problem(
        lambda spec: setattr(spec.replicated, "replicas", 10**9)
    )


def test_a_variable_without_a_name_is_refused_and_its_value_not_shown():
    text = problem(lambda spec: spec.task.container.env.append("=hunter2"))
    assert "no name" in text
    assert "hunter2" not in text


@pytest.mark.parametrize(
    ("mount", "why"),
    [
        (Mount(type=Mount.TYPE_BIND, source="/a", target="b"), "absolute target"),
        (Mount(type=Mount.TYPE_BIND, source="/a", target="/"), "absolute target"),
        (Mount(type=Mount.TYPE_BIND, source="/a", target="/x/../etc"), "absolute target"),
        (Mount(type=Mount.TYPE_BIND, source="a", target="/b"), "not an absolute path"),
        (Mount(type=Mount.TYPE_TMPFS, source="/a", target="/b"), "no source"),
        (Mount(type=Mount.TYPE_IMAGE, source="UPPER", target="/b"), "UPPER"),
        (Mount(type=Mount.TYPE_IMAGE, target="/b"), "image"),
        (
            Mount(
                type=Mount.TYPE_IMAGE, source="web", target="/b", image=Mount.ImageOptions(subpath="a/../..")
            ),
            "no path inside",
        ),
        (
            Mount(
                type=Mount.TYPE_VOLUME, source="data", target="/b", volume=Mount.VolumeOptions(subpath="/a")
            ),
            "no path inside",
        ),
        (
            Mount(type=Mount.TYPE_VOLUME, source="data", target="/b", image=Mount.ImageOptions()),
            "options of images",
        ),
        (Mount(type=Mount.TYPE_TMPFS, target="/b", tmpfs=Mount.TmpfsOptions(size_bytes=-1)), "negative"),
        (Mount(type=Mount.TYPE_TMPFS, target="/b", tmpfs=Mount.TmpfsOptions(mode=0o17777)), "mode"),
        (
            Mount(type=Mount.TYPE_BIND, source="/a", target="/b", bind=Mount.BindOptions(propagation="odd")),
            "rprivate",
        ),
    ],
)
def test_a_bad_mount_is_refused(mount, why):
    assert why in problem(lambda spec: spec.task.container.mounts.append(mount))


def test_two_mounts_at_one_place_are_refused():
    def change(spec):
        spec.task.container.mounts.add(type=Mount.TYPE_TMPFS, target="/x")
        spec.task.container.mounts.add(type=Mount.TYPE_TMPFS, target="/x/")

    assert "two mounts" in problem(change)


def test_ports_must_be_ports_and_published_once():
    def add(**port):
        return lambda spec: spec.endpoint.ports.add(publish_mode=HOST, **port)

    assert "target port 0" in problem(add(target_port=0))
    assert "target port 65536" in problem(add(target_port=65536))
    assert "published port 70000" in problem(add(target_port=80, published_port=70000))

    def twice(spec):
        add(target_port=80, published_port=8080)(spec)
        add(target_port=81, published_port=8080)(spec)

    assert "8080/tcp is published twice" in problem(twice)
    assert "9 is not a way to publish" in problem(
        lambda spec: spec.endpoint.ports.add(target_port=80, published_port=80, publish_mode=9)
    )


def test_ports_that_the_system_chooses_do_not_collide():
    spec = a_spec()
    for _ in range(2):
        spec.endpoint.ports.add(target_port=80, publish_mode=HOST)
    validate_service(spec)


@pytest.mark.parametrize("ratio", [-0.1, 1.1, float("nan")])
def test_a_failure_ratio_is_a_share(ratio):
    assert "between 0 and 1" in problem(lambda spec: setattr(spec.update, "max_failure_ratio", ratio))


def test_a_rollback_cannot_roll_back():
    def change(spec):
        spec.rollback.failure_action = UpdateConfig.FAILURE_ACTION_ROLLBACK

    assert "rollback again" in problem(change)


def test_unknown_numbers_of_enums_are_refused():
    assert "restart condition" in problem(lambda spec: setattr(spec.task.restart, "condition", 9))
    assert "order" in problem(lambda spec: setattr(spec.update, "order", 9))
    assert "failure action" in problem(lambda spec: setattr(spec.update, "failure_action", 9))


def test_malformed_constraints_preferences_and_signals_are_refused():
    assert "invalid constraint" in problem(lambda spec: spec.task.placement.constraints.append("nonsense"))
    assert "spread" in problem(lambda spec: spec.task.placement.preferences.add(spread="zone"))
    assert "signal" in problem(lambda spec: setattr(spec.task.container, "stop_signal", "SIGNOPE"))


@pytest.mark.parametrize("text", ["SIGTERM", "term", "9", "RTMAX-1"])
def test_signals_are_names_or_numbers(text):
    spec = a_spec()
    spec.task.container.stop_signal = text
    validate_service(spec)


def test_start_first_with_a_fixed_port_is_worth_a_warning():
    spec = a_spec()
    spec.endpoint.ports.add(target_port=80, published_port=80, publish_mode=HOST)
    spec.update.order = UpdateConfig.ORDER_START_FIRST
    assert "start-first" in service_warnings(spec)[0]


def test_node_and_cluster_specs_are_checked_too():
    validate_node(NodeSpec())
    validate_cluster(ClusterSpec())
    with pytest.raises(InvalidArgument, match="role"):
        validate_node(NodeSpec(desired_role=7))
    with pytest.raises(InvalidArgument, match="availability"):
        validate_node(NodeSpec(availability=7))
    with pytest.raises(InvalidArgument, match="heartbeat"):
        validate_cluster(ClusterSpec(heartbeat_period_ns=1))
    with pytest.raises(InvalidArgument, match="snapshot interval"):
        validate_cluster(ClusterSpec(snapshot_interval=0))
    with pytest.raises(InvalidArgument, match="1 hour"):
        validate_cluster(ClusterSpec(node_cert_expiry_ns=1))


def test_only_replicated_services_balance_themselves():
    def change(spec):
        getattr(spec, "global").SetInParent()
        spec.rebalance = 1

    assert "rebalance auto" in problem(change)
