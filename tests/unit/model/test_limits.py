"""Every limit of limits.py: reached it is accepted, one over it is refused by name."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from swarm.api.v1.objects_pb2 import Task
from swarm.api.v1.specs_pb2 import ClusterSpec, NodeSpec, ScaleRule, ServiceSpec
from swarm.api.v1.types_pb2 import (
    CsiPlugin,
    HealthProbe,
    Mount,
    NodeDescription,
    NodeDevice,
    PortConfig,
    Privileges,
    TaskStatus,
)
from swarm.errors import InvalidArgument
from swarm.model import limits, task_state
from swarm.model.history import record_status
from swarm.model.limits import Limit
from swarm.model.truncate import bounded_description, bounded_status
from swarm.model.validate import validate_cluster, validate_node, validate_service

TABLE = Path(__file__).resolve().parents[3] / "docs" / "limits.md"


def a_service() -> ServiceSpec:
    spec = ServiceSpec()
    spec.annotations.name = "web"
    spec.task.container.image = "web:1"
    return spec


def labels(spec: ServiceSpec, sizes: list[tuple[int, int]]) -> None:
    for number, (key, value) in enumerate(sizes):
        spec.annotations.labels[f"{number:0>{key}}"] = "v" * value


def spec_bytes(spec: ServiceSpec, amount: int) -> None:
    container = spec.task.container
    while spec.ByteSize() < amount - 100_000:
        container.args.append("a" * 90_000)
    container.args.append("a" * (amount - spec.ByteSize() - 20))
    container.args[-1] += "a" * (amount - spec.ByteSize())
    assert spec.ByteSize() == amount


def labels_bytes(spec: ServiceSpec, amount: int) -> None:
    labels(spec, [(10, 10_000)] * 6)
    left = amount - 6 * 10_010
    labels(spec, [])
    spec.annotations.labels["rest"] = "v" * (left - 4)


def mount(spec: ServiceSpec, target: str, source: str = "/s") -> None:
    spec.task.container.mounts.add(type=Mount.TYPE_BIND, source=source, target=target)


def port(spec: ServiceSpec, number: int, name: str = "") -> None:
    spec.endpoint.ports.add(target_port=number, publish_mode=PortConfig.PUBLISH_MODE_HOST, name=name)


def image(spec: ServiceSpec, amount: int) -> None:
    spec.task.container.image = "registry.example/" + "a" * (amount - len("registry.example/"))


def autoscale(spec: ServiceSpec, most: int = 2, rules: int = 1, query: int = 2, path: int = 0) -> None:
    spec.autoscale.replicas_max = most
    for number in range(rules):
        spec.autoscale.rules.add(
            source=ScaleRule.SOURCE_PROMETHEUS,
            url=f"http://p/{'a' * path}",
            query=f"{number:0>{query}}",
            target=1,
        )


def seccomp_profile(spec: ServiceSpec, amount: int) -> None:
    profile = '{"defaultAction": "SCMP_ACT_ALLOW"}'
    spec.task.container.privileges.seccomp.mode = Privileges.Seccomp.MODE_CUSTOM
    spec.task.container.privileges.seccomp.profile = profile.ljust(amount).encode()


Grow = Callable[[ServiceSpec, int], None]

# Limit, and how to make a service that has so much of it.
SERVICE: list[tuple[Limit, Grow]] = [
    (limits.NAME_CHARACTERS, lambda spec, n: setattr(spec.annotations, "name", "a" * n)),
    (limits.NAME_CHARACTERS, lambda spec, n: spec.depends_on.add(service="d" * n)),
    (limits.DEPENDENCIES, lambda spec, n: [spec.depends_on.add(service=f"s{i}") for i in range(n)]),
    (limits.NAME_CHARACTERS, lambda spec, n: port(spec, 80, "p" * n)),
    (limits.LABELS, lambda spec, n: labels(spec, [(5, 1)] * n)),
    (limits.LABELS, lambda spec, n: spec.task.container.labels.update({f"k{i}": "" for i in range(n)})),
    (limits.LABEL_KEY_BYTES, lambda spec, n: labels(spec, [(n, 1)])),
    (limits.LABEL_KEY_BYTES, lambda spec, n: spec.task.container.labels.update({"k" * n: ""})),
    (limits.LABEL_VALUE_BYTES, lambda spec, n: labels(spec, [(1, n)])),
    (limits.LABELS_BYTES, labels_bytes),
    (limits.LOG_FILE_BYTES, lambda spec, n: setattr(spec.task.container.log, "max_size_bytes", n)),
    (limits.LOG_FILES, lambda spec, n: setattr(spec.task.container.log, "max_files", n)),
    (limits.LOG_ATTRIBUTES, lambda spec, n: spec.task.container.log.labels.extend(["a"] * n)),
    (limits.LOG_ATTRIBUTES, lambda spec, n: spec.task.container.log.env.extend(["A"] * n)),
    (limits.TEXT_BYTES, lambda spec, n: setattr(spec.task.container.log, "tag", "t" * n)),
    (limits.SPEC_BYTES, spec_bytes),
    (limits.IMAGE_CHARACTERS, image),
    (limits.HOSTNAME_CHARACTERS, lambda spec, n: setattr(spec.task.container, "hostname", "h" * n)),
    (limits.TEXT_BYTES, lambda spec, n: setattr(spec.task.container, "dir", "/" * n)),
    (limits.TEXT_BYTES, lambda spec, n: setattr(spec.task.container, "user", "u" * n)),
    (limits.TEXT_BYTES, lambda spec, n: mount(spec, "/" + "t" * (n - 1))),
    (limits.TEXT_BYTES, lambda spec, n: mount(spec, "/t", "/" + "s" * (n - 1))),
    (limits.ENV_VARIABLES, lambda spec, n: spec.task.container.env.extend([f"A{i}=b" for i in range(n)])),
    (limits.ENV_VARIABLE_BYTES, lambda spec, n: spec.task.container.env.append("KEY=" + "x" * (n - 4))),
    (limits.ARGUMENTS, lambda spec, n: spec.task.container.args.extend(["a"] * n)),
    (limits.ARGUMENT_BYTES, lambda spec, n: spec.task.container.command.append("a" * n)),
    (limits.MOUNTS, lambda spec, n: [mount(spec, f"/m{i}") for i in range(n)] and None),
    (
        limits.REFERENCES,
        lambda spec, n: (
            [spec.task.container.secrets.add(secret_name=f"s{i}") for i in range(n - 1)]
            and spec.task.container.configs.add(config_name="c")
        ),
    ),
    (
        limits.DEVICES,
        lambda spec, n: [spec.task.container.devices.add(host_path=f"/dev/d{i}") for i in range(n)] and None,
    ),
    (limits.GROUPS, lambda spec, n: spec.task.container.groups.extend(f"g{i}" for i in range(n))),
    (
        limits.HOSTS,
        lambda spec, n: [spec.task.container.hosts.add(name="h", address="::1") for _ in range(n)] and None,
    ),
    (limits.DNS_ENTRIES, lambda spec, n: spec.task.container.dns.nameservers.extend(["::1"] * n)),
    (
        limits.SYSCTLS,
        lambda spec, n: spec.task.container.sysctls.update({f"net.s{i}": "1" for i in range(n)}),
    ),
    (limits.SECCOMP_PROFILE_BYTES, seccomp_profile),
    (limits.PORTS, lambda spec, n: [port(spec, i + 1) for i in range(n)] and None),
    (limits.CONSTRAINTS, lambda spec, n: spec.task.placement.constraints.extend(["node.role==worker"] * n)),
    (
        limits.CONSTRAINT_BYTES,
        lambda spec, n: spec.task.placement.constraints.append(f"node.labels.a=={'b' * (n - 15)}"),
    ),
    (
        limits.CONSTRAINT_VALUES,
        lambda spec, n: spec.task.placement.constraints.append(f"node.id in ({','.join(['a'] * n)})"),
    ),
    (
        limits.PATTERN_CHARACTERS,
        lambda spec, n: spec.task.placement.constraints.append(f"node.labels.a=~{'b' * n}"),
    ),
    (
        limits.PREFERENCES,
        lambda spec, n: (
            [spec.task.placement.preferences.add(spread=f"node.labels.l{i}") for i in range(n)] and None
        ),
    ),
    (
        limits.PLATFORMS,
        lambda spec, n: [spec.task.placement.platforms.add(os="linux") for _ in range(n)] and None,
    ),
    (
        limits.ATTACHMENTS,
        lambda spec, n: [spec.task.networks.add(network_name=f"n{i}") for i in range(n)] and None,
    ),
    (limits.ALIASES, lambda spec, n: spec.task.networks.add(network_name="n", aliases=["a"] * n)),
    (
        limits.NETWORK_OPTIONS,
        lambda spec, n: spec.task.networks.add(
            network_name="n", driver_options={f"o{i}": "" for i in range(n)}
        ),
    ),
    (limits.PRIORITY, lambda spec, n: setattr(spec.task, "priority", n)),
    (limits.PRIORITY, lambda spec, n: setattr(spec.task, "priority", -n)),
    (limits.REPLICAS, lambda spec, n: setattr(spec.replicated, "replicas", n)),
    (limits.REPLICAS, lambda spec, n: autoscale(spec, most=n)),
    (limits.SCALE_RULES, lambda spec, n: autoscale(spec, rules=n)),
    (limits.QUERY_BYTES, lambda spec, n: autoscale(spec, query=n)),
    (limits.TEXT_BYTES, lambda spec, n: autoscale(spec, path=n - len("http://p/"))),
]

# Tested elsewhere, or below: in the store, at the control API, of the cluster's spec, of what agents say.
ELSEWHERE = {"TASKS", "SERVICES", "NODES", "IMAGES", "TRANSACTION_BYTES"}  # test_store_limits.py
ELSEWHERE |= {"SECRETS", "CONFIGS", "DATA_BYTES", "NETWORKS", "VOLUMES"}  # there as well
ELSEWHERE |= {"RESERVED_ADDRESSES", "ADDRESS_POOLS"}  # test_validate_network.py
ELSEWHERE |= {"ROUTES", "ROUTE_PATH_CHARACTERS"}  # test_http_routes.py
ELSEWHERE |= {"ACME_HOSTS", "ACME_ORDERS", "ACME_TEXT_CHARACTERS", "ACME_CA_BYTES"}  # tests/unit/acme
ELSEWHERE |= {"DATA_NAME_CHARACTERS", "SECRET_BYTES", "CONFIG_BYTES"}  # test_validate_data.py
ELSEWHERE |= {"DRIVER_OPTIONS"}  # test_secret_drivers.py
ELSEWHERE |= {"CHANGES"}  # controlapi/test_planning.py
ELSEWHERE |= {"DATA_VERSIONS"}  # controlapi/test_rotation.py
ELSEWHERE |= {"VOLUME_NAME_CHARACTERS", "VOLUME_ENTRIES"}  # test_volumes.py
ELSEWHERE |= {"CSI_VOLUME_NAME_CHARACTERS"}  # test_cluster_volumes.py
ELSEWHERE |= {"EXPANDED_BYTES"}  # test_templates.py
ELSEWHERE |= {"PLAIN_NAME_CHARACTERS", "PLAIN_CONTAINERS"}  # test_plain.py, test_plain_containers.py
ELSEWHERE |= {
    "STACKS",
    "STACK_REVISIONS",
    "STACK_HISTORY_BYTES",
}  # test_store_limits.py, test_stack_history.py
ELSEWHERE |= {"USERS", "USER_SCOPE"}  # test_store_limits.py, controlapi/test_users.py
ELSEWHERE |= {
    "AUDIT_FILE_BYTES",
    "AUDIT_FILES",
    "AUDIT_WAITING",
    "AUDIT_TEXT_CHARACTERS",
}  # tests/unit/audit
COMPOSE = {"COMPOSE_FILE_BYTES", "COMPOSE_VALUES", "COMPOSE_FILES"}  # tests/unit/compose
BELOW = {
    "EXTERNAL_CAS",
    "STATUS_CHARACTERS",
    "TASK_STATES",
    "HEALTH_PROBES",
    "HEALTH_OUTPUT_CHARACTERS",
    "DESCRIPTION_TEXT_CHARACTERS",
    "DESCRIPTION_ENTRIES",
    "NODE_DEVICES",
    "CSI_PLUGINS",
}


@pytest.mark.parametrize(("limit", "grow"), SERVICE, ids=[limit.name for limit, _ in SERVICE])
def test_a_service_at_the_limit_is_accepted_and_one_over_it_refused(limit: Limit, grow: Grow) -> None:
    fits, too_large = a_service(), a_service()
    grow(fits, limit.value)
    validate_service(fits)
    grow(too_large, limit.value + 1)
    with pytest.raises(InvalidArgument) as caught:
        validate_service(too_large)
    assert f"({limit.name})" in str(caught.value)
    assert str(limit.value) in str(caught.value)


def test_the_refusal_says_what_how_much_and_which_limit() -> None:
    spec = a_service()
    spec.annotations.labels["x" * 300] = "secret-value"
    with pytest.raises(InvalidArgument) as caught:
        validate_service(spec)
    assert f"label {'x' * 40}…: 300 bytes; the limit is 256 (LABEL_KEY_BYTES)" in str(caught.value)
    assert "secret-value" not in str(caught.value)


def test_the_value_of_a_variable_is_not_in_the_refusal() -> None:
    spec = a_service()
    spec.task.container.env.append("PASSWORD=" + "s3cret" * 30_000)
    with pytest.raises(InvalidArgument) as caught:
        validate_service(spec)
    assert "environment variable PASSWORD: " in str(caught.value)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(("kind", "validate"), [(NodeSpec, validate_node), (ClusterSpec, validate_cluster)])
def test_nodes_and_the_cluster_have_the_same_limits_for_names_and_labels(kind, validate) -> None:
    spec = kind()
    spec.annotations.name = "n" * limits.NAME_CHARACTERS.value
    spec.annotations.labels["k" * limits.LABEL_KEY_BYTES.value] = "v" * limits.LABEL_VALUE_BYTES.value
    validate(spec)
    spec.annotations.labels["k" * (limits.LABEL_KEY_BYTES.value + 1)] = ""
    spec.annotations.name += "n"
    with pytest.raises(InvalidArgument) as caught:
        validate(spec)
    assert "(LABEL_KEY_BYTES)" in str(caught.value)
    assert "(NAME_CHARACTERS)" in str(caught.value)


def test_a_cluster_has_only_so_many_external_cas() -> None:
    spec = ClusterSpec()
    for _ in range(limits.EXTERNAL_CAS.value):
        spec.external_cas.add(url="https://ca.example")
    validate_cluster(spec)
    spec.external_cas.add(url="https://ca.example")
    with pytest.raises(InvalidArgument, match=r"\(EXTERNAL_CAS\)"):
        validate_cluster(spec)


def test_a_status_is_cut_and_one_within_the_limits_left_alone() -> None:
    most = limits.STATUS_CHARACTERS.value
    status = TaskStatus(state=task_state.FAILED, message="m" * most, err="e" * most)
    assert bounded_status(status) is status
    status.err += "!"
    status.container.container_id = "c" * 1000
    status.ports.extend([PortConfig(target_port=1)] * (limits.PORTS.value + 1))
    bounded = bounded_status(status)
    assert bounded.err == "e" * (most - 1) + "…"
    assert (bounded.message, len(bounded.ports)) == (status.message, limits.PORTS.value)
    assert len(bounded.container.container_id) == limits.DESCRIPTION_TEXT_CHARACTERS.value
    assert bounded_status(bounded) is bounded
    assert len(status.err) == most + 1


def test_a_description_is_cut() -> None:
    most, entries = limits.DESCRIPTION_TEXT_CHARACTERS.value, limits.DESCRIPTION_ENTRIES.value
    fits = NodeDescription(hostname="h" * most, engine_version="1", runtime="oci")
    fits.platform.os = "linux"
    fits.resources.memory_bytes = 5
    fits.engine_labels.update({f"{number:03}": "v" for number in range(entries)})
    assert bounded_description(fits) == fits
    fits.hostname += "h"
    fits.engine_labels["zzz"] = "one too many"
    fits.runtime_info["error"] = "x" * 1_000_000
    fits.devices.extend([NodeDevice(name="v/c=1")] * (limits.NODE_DEVICES.value + 1))
    fits.csi_plugins.extend([CsiPlugin(name="csi")] * (limits.CSI_PLUGINS.value + 1))
    fits.warnings.add(type="DATA_PATH_GAPS", reason="x" * 1_000_000, node_ids=["n" * 10_000] * 1000)
    bounded = bounded_description(fits)
    assert len(bounded.devices) == limits.NODE_DEVICES.value
    assert len(bounded.csi_plugins) == limits.CSI_PLUGINS.value
    assert bounded.hostname == "h" * (most - 1) + "…"
    assert "zzz" not in bounded.engine_labels
    assert len(bounded.warnings[0].reason) == limits.STATUS_CHARACTERS.value
    assert len(bounded.warnings[0].node_ids) == limits.DESCRIPTION_ENTRIES.value
    assert max(map(len, bounded.warnings[0].node_ids)) == limits.DESCRIPTION_TEXT_CHARACTERS.value
    assert len(bounded.runtime_info["error"]) == limits.STATUS_CHARACTERS.value
    assert bounded.resources.memory_bytes == 5
    assert bounded_description(bounded) == bounded


def test_the_health_of_a_task_is_cut_to_the_last_probes_and_the_beginning_of_what_they_said() -> None:
    probes, most = limits.HEALTH_PROBES.value, limits.HEALTH_OUTPUT_CHARACTERS.value
    status = TaskStatus(state=task_state.RUNNING)
    status.container.health.log.extend([HealthProbe(exit_code=n, output="o" * most) for n in range(probes)])
    assert bounded_status(status) is status
    status.container.health.log.add(exit_code=99, output="o" * (most + 1))
    bounded = bounded_status(status)
    assert [one.exit_code for one in bounded.container.health.log] == [*range(1, probes), 99]
    assert bounded.container.health.log[-1].output == "o" * (most - 1) + "…"
    assert bounded_status(bounded) is bounded
    assert len(status.container.health.log) == probes + 1


def test_the_history_of_a_task_is_cut_at_its_beginning() -> None:
    task = Task()
    for number in range(limits.TASK_STATES.value + 5):
        record_status(task, TaskStatus(state=number + 1, message=str(number)))
    assert len(task.history) == limits.TASK_STATES.value
    assert task.history[-1].message == str(limits.TASK_STATES.value + 3)


def test_every_limit_has_its_own_name_a_reason_and_a_test() -> None:
    assert {limit.name for limit in limits.ALL} == {
        name for name, value in vars(limits).items() if isinstance(value, Limit)
    }
    assert all(limit.reason and limit.unit and limit.value > 0 for limit in limits.ALL)
    tested = {limit.name for limit, _ in SERVICE} | ELSEWHERE | COMPOSE | BELOW
    assert {limit.name for limit in limits.ALL} == tested


def test_the_table_in_the_documentation_is_that_of_the_code() -> None:
    rows = re.findall(r"^\| `([A-Z_]+)` \| ([\d,]+) ([^|]+) \| ([^|]+) \|$", TABLE.read_text(), re.MULTILINE)
    assert rows == [(one.name, f"{one.value:,}", one.unit, one.reason) for one in limits.ALL]
