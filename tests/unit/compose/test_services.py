"""Compose services as services of the cluster."""

from typing import Any

import pytest

from swarm.api.v1.specs_pb2 import ServiceSpec
from swarm.errors import InvalidArgument
from swarm.model.stacks import IMAGE_LABEL, NAMESPACE_LABEL
from swarm.model.validate import validate_service
from tests.unit.compose.files import Files, service, stack


def expected(build: Any) -> ServiceSpec:
    spec = ServiceSpec()
    spec.annotations.name = "shop_web"
    spec.annotations.labels.update({NAMESPACE_LABEL: "shop", IMAGE_LABEL: "web:1"})
    spec.task.container.image = "web:1"
    spec.task.container.labels[NAMESPACE_LABEL] = "shop"
    spec.replicated.SetInParent()
    spec.task.networks.add(network_name="shop_default", aliases=["web"])
    build(spec)
    return spec


CASES: list[tuple[str, Any]] = [
    ("", lambda s: None),
    ("command: a 'b c'", lambda s: s.task.container.args.extend(["a", "b c"])),
    ("command: [a, 'b c']", lambda s: s.task.container.args.extend(["a", "b c"])),
    ("entrypoint: /e x", lambda s: s.task.container.command.extend(["/e", "x"])),
    ("environment: {A: 1, B: true, C: x}", lambda s: s.task.container.env.extend(["A=1", "B=true", "C=x"])),
    ("labels: {a: b}", lambda s: s.task.container.labels.update({"a": "b"})),
    ("deploy: {labels: [a=b]}", lambda s: s.annotations.labels.update({"a": "b"})),
    (
        "healthcheck: {test: curl -f localhost, interval: 10s, retries: 5, start_period: 1m}",
        lambda s: s.task.container.healthcheck.__init__(
            test=["CMD-SHELL", "curl -f localhost"],
            interval_ns=10 * 10**9,
            retries=5,
            start_period_ns=60 * 10**9,
        ),
    ),
    (
        "healthcheck: {test: [HTTP, ':8080/health'], timeout: 2s, start_interval: 1s}",
        lambda s: s.task.container.healthcheck.__init__(
            test=["HTTP", ":8080/health"], timeout_ns=2 * 10**9, start_interval_ns=10**9
        ),
    ),
    ("healthcheck: {disable: true}", lambda s: s.task.container.healthcheck.test.append("NONE")),
    ("healthcheck: {test: [NONE]}", lambda s: s.task.container.healthcheck.test.append("NONE")),
    ("hostname: h", lambda s: setattr(s.task.container, "hostname", "h")),
    ("working_dir: /w", lambda s: setattr(s.task.container, "dir", "/w")),
    ("user: '1000'", lambda s: setattr(s.task.container, "user", "1000")),
    ("stop_signal: SIGINT", lambda s: setattr(s.task.container, "stop_signal", "SIGINT")),
    ("stop_grace_period: 1m30s", lambda s: setattr(s.task.container, "stop_grace_period_ns", 90 * 10**9)),
    ("read_only: true", lambda s: setattr(s.task.container, "read_only", True)),
    ("init: 'false'", lambda s: setattr(s.task.container, "init", False)),
    ("tty: true", lambda s: setattr(s.task.container, "tty", True)),
    ("deploy: {replicas: 3}", lambda s: setattr(s.replicated, "replicas", 3)),
    ("deploy: {replicas: 0}", lambda s: setattr(s.replicated, "replicas", 0)),
    ("scale: 4", lambda s: setattr(s.replicated, "replicas", 4)),
    ("deploy: {mode: global}", lambda s: getattr(s, "global").SetInParent()),
    ("deploy: {mode: global-job}", lambda s: s.global_job.SetInParent()),
    (
        "deploy: {mode: replicated-job, replicas: 5}",
        lambda s: s.replicated_job.__init__(total_completions=5, max_concurrent=5),
    ),
    (
        "deploy: {resources: {limits: {cpus: '0.5', memory: 64M, pids: 9}}}",
        lambda s: s.task.resources.limits.__init__(nano_cpus=5 * 10**8, memory_bytes=64 << 20, pids=9),
    ),
    (
        "deploy: {resources: {reservations: {cpus: 1, memory: 1g}}}",
        lambda s: s.task.resources.reservations.__init__(nano_cpus=10**9, memory_bytes=1 << 30),
    ),
    (
        "cpus: 2\nmem_limit: 1g\npids_limit: 7\nmem_reservation: 8m",
        lambda s: (
            s.task.resources.limits.__init__(nano_cpus=2 * 10**9, memory_bytes=1 << 30, pids=7),
            s.task.resources.reservations.__init__(memory_bytes=8 << 20),
        ),
    ),
    ("pids_limit: -1", lambda s: None),
    (
        "privileged: true\ncap_add: [net_admin]\ncap_drop: [ALL]\ngroup_add: [audio, 29]",
        lambda s: (
            s.task.container.privileges.__init__(privileged=True),
            s.task.container.capability_add.append("CAP_NET_ADMIN"),
            s.task.container.capability_drop.append("ALL"),
            s.task.container.groups.extend(["audio", "29"]),
        ),
    ),
    (
        "security_opt: ['no-new-privileges:false', 'apparmor=web', 'systempaths=unconfined']",
        lambda s: s.task.container.privileges.__init__(
            no_new_privileges=False, apparmor="web", unmasked_paths=True
        ),
    ),
    (
        "ipc: host\npid: host\nuts: host\nuserns_mode: host\ncgroup: private\ncgroup_parent: /batch",
        lambda s: (
            s.task.container.namespaces.__init__(
                ipc="host", pid="host", uts="host", userns="host", cgroup="private"
            ),
            setattr(s.task.container, "cgroup_parent", "/batch"),
        ),
    ),
    (
        "annotations: {com.example.a: b}",
        lambda s: s.task.container.annotations.update({"com.example.a": "b"}),
    ),
    (
        "sysctls: [net.core.somaxconn=9]\nulimits: {nofile: {soft: 1, hard: '-1'}, core: 0}",
        lambda s: (
            s.task.container.sysctls.update({"net.core.somaxconn": "9"}),
            s.task.container.ulimits.add(name="nofile", soft=1, hard=-1),
            s.task.container.ulimits.add(name="core"),
        ),
    ),
    (
        "extra_hosts: {a: 1.2.3.4, b: ['::1', '[::2]']}\ndns: 9.9.9.9\ndns_search: [x]\ndns_opt: [rotate]",
        lambda s: (
            s.task.container.hosts.add(name="a", address="1.2.3.4"),
            s.task.container.hosts.add(name="b", address="::1"),
            s.task.container.hosts.add(name="b", address="::2"),
            s.task.container.dns.__init__(nameservers=["9.9.9.9"], search=["x"], options=["rotate"]),
        ),
    ),
    (
        "shm_size: 1m\noom_score_adj: -5\nmem_limit: 1g\nmemswap_limit: -1\nmem_swappiness: 0",
        lambda s: (
            setattr(s.task.container, "shm_size_bytes", 1 << 20),
            setattr(s.task.container, "oom_score_adj", -5),
            s.task.resources.limits.__init__(memory_bytes=1 << 30),
            setattr(s.task.resources, "memory_swap_bytes", -1),
            setattr(s.task.resources, "memory_swappiness", 0),
        ),
    ),
    (
        "blkio_config: {weight_device: [{path: /dev/sda, weight: 300}], device_read_bps: [{path: /dev/sda, "
        "rate: '12mb'}, {path: /dev/sdb, rate: 1024}], device_write_iops: [{path: /dev/sda, rate: 30}]}",
        lambda s: (
            s.task.resources.block_limits.add(
                device="/dev/sda", weight=300, read_bps=12 << 20, write_iops=30
            ),
            s.task.resources.block_limits.add(device="/dev/sdb", read_bps=1024),
        ),
    ),
    (
        "cpu_shares: 5\ncpu_quota: '5000'\ncpu_period: 10000\ncpuset: 0-1\nblkio_config: {weight: 10}",
        lambda s: s.task.resources.__init__(
            cpu_shares=5, cpu_quota_us=5000, cpu_period_us=10000, cpuset_cpus="0-1", blkio_weight=10
        ),
    ),
    (
        "deploy: {resources: {reservations: {generic_resources: "
        "[{discrete_resource_spec: {kind: ssd, value: 2}}]}}}",
        lambda s: s.task.resources.reservations.generic.add(kind="ssd", count=2),
    ),
    (
        "deploy: {update_config: {parallelism: 2, delay: 5s, monitor: 1s, max_failure_ratio: 0.5, "
        "failure_action: rollback, order: start-first}}",
        lambda s: s.update.__init__(
            parallelism=2,
            delay_ns=5 * 10**9,
            monitor_ns=10**9,
            max_failure_ratio=0.5,
            failure_action=2,
            order=1,
        ),
    ),
    ("deploy: {rollback_config: {order: stop-first}}", lambda s: setattr(s.rollback, "order", 0)),
    (
        "deploy: {restart_policy: {condition: on-failure, delay: 1s, max_attempts: 3, window: 2m}}",
        lambda s: s.task.restart.__init__(
            condition=1, delay_ns=10**9, max_attempts=3, window_ns=120 * 10**9
        ),
    ),
    ("restart: always", lambda s: setattr(s.task.restart, "condition", 0)),
    ("restart: unless-stopped", lambda s: setattr(s.task.restart, "condition", 0)),
    ("restart: on-failure:4", lambda s: s.task.restart.__init__(condition=1, max_attempts=4)),
    ("restart: 'no'", lambda s: setattr(s.task.restart, "condition", 2)),
    (
        "restart: always\ndeploy: {restart_policy: {condition: none}}",
        lambda s: setattr(s.task.restart, "condition", 2),
    ),
    (
        "deploy: {placement: {constraints: [node.role==worker], preferences: [{spread: node.labels.zone}], "
        "max_replicas_per_node: 2}}",
        lambda s: (
            s.task.placement.constraints.append("node.role==worker"),
            s.task.placement.preferences.add(spread="node.labels.zone"),
            setattr(s.task.placement, "max_replicas_per_node", 2),
        ),
    ),
    ("platform: linux/arm64/v8", lambda s: s.task.placement.platforms.add(os="linux", architecture="arm64")),
    (
        "ports: [{target: 80, published: 8080, mode: host, name: http}, '53:53/udp']",
        lambda s: (
            s.endpoint.ports.add(name="http", target_port=80, published_port=8080, publish_mode=1),
            s.endpoint.ports.add(protocol=1, target_port=53, published_port=53),
        ),
    ),
    (
        "volumes: [{type: tmpfs, target: /t, read_only: true, tmpfs: {size: 1m, mode: 0700}}]",
        lambda s: s.task.container.mounts.add(
            type=1, target="/t", read_only=True, tmpfs={"size_bytes": 1 << 20, "mode": 0o700}
        ),
    ),
    (
        "volumes: ['/a:/b:ro']",
        lambda s: s.task.container.mounts.add(
            source="/a", target="/b", read_only=True, bind={"create_source": True}
        ),
    ),
    (
        "tmpfs: ['/t:size=64k,mode=755', /u]",
        lambda s: (
            s.task.container.mounts.add(type=1, target="/t", tmpfs={"size_bytes": 65536, "mode": 0o755}),
            s.task.container.mounts.add(type=1, target="/u"),
        ),
    ),
    (
        "devices: ['/dev/a:/dev/b:r', 'vendor.com/class=x', {source: /dev/c, target: /dev/c}]",
        lambda s: (
            s.task.container.devices.add(host_path="/dev/a", container_path="/dev/b", permissions="r"),
            s.task.container.devices.add(cdi_name="vendor.com/class=x"),
            s.task.container.devices.add(host_path="/dev/c", container_path="/dev/c"),
        ),
    ),
    (
        "logging: {driver: json-file, options: {max-size: 10m, max-file: '3'}}",
        lambda s: s.task.container.log.__init__(max_size_bytes=10 << 20, max_files=3),
    ),
    (
        "logging: {options: {labels: 'tier, vendor', env: LANG, tag: '{{.Name}}'}}",
        lambda s: s.task.container.log.__init__(labels=["tier", "vendor"], env=["LANG"], tag="{{.Name}}"),
    ),
    ("gpus: all", lambda s: s.task.container.device_requests.add(kind="nvidia.com/gpu", all=True)),
    ("gpus: [{count: 2}]", lambda s: s.task.container.device_requests.add(kind="nvidia.com/gpu", count=2)),
    (
        "deploy: {resources: {reservations: {devices: [{capabilities: [gpu], device_ids: ['0', '1']}]}}}",
        lambda s: s.task.container.device_requests.add(kind="nvidia.com/gpu", names=["0", "1"]),
    ),
]


@pytest.mark.parametrize(("text", "build"), CASES, ids=[text[:60] or "image only" for text, _ in CASES])
def test_what_a_file_says_stands_in_the_spec(text: str, build: Any) -> None:
    assert service(text) == expected(build)


def test_specs_are_valid_as_they_are() -> None:
    validate_service(service("ports: [{target: 80, published: 80, mode: host}]\ncommand: a\ntmpfs: /t"))


def test_env_files_come_before_environment_and_later_ones_win() -> None:
    files = Files()
    files.add("a.env", "A=a\nB=a\nD=${SHELL_SAYS}\n")
    files.add("b.env", "B=b\nC=${B}\n")
    files.add("raw.env", "R=${B} # x\n")
    text = (
        "env_file: [a.env, b.env, {path: no.env, required: false}, {path: raw.env, format: raw}]\n"
        "environment: [A=own, SHELL_SAYS]"
    )
    found = service(text, files=files, variables={"SHELL_SAYS": "hi"})
    assert list(found.task.container.env) == ["A=own", "B=b", "D=hi", "C=b", "R=${B} # x", "SHELL_SAYS=hi"]


def test_a_missing_env_file_is_an_error_at_its_place() -> None:
    with pytest.raises(InvalidArgument, match=r"^c0.yaml:4:15: there is no file .*no\.env"):
        service("env_file: no.env")


def test_label_files_come_before_labels() -> None:
    files = Files()
    files.add("l", "a=1\nb=1\n")
    found = service("label_file: l\nlabels: {b: 2}", files=files)
    assert dict(found.task.container.labels) == {"a": "1", "b": "2", NAMESPACE_LABEL: "shop"}


def test_dependencies_are_those_of_the_stack() -> None:
    text = (
        "services:\n  web:\n    image: w\n    depends_on:\n      db: {condition: service_healthy}\n"
        "      setup: {condition: service_completed_successfully}\n"
        "      gone: {condition: service_started, required: false}\n"
        "  db: {image: d}\n  setup: {image: s, deploy: {mode: replicated-job}}\n"
    )
    found = stack(text).services[0]
    assert [(one.service, one.condition) for one in found.depends_on] == [("shop_db", 1), ("shop_setup", 2)]


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ("deploy: {mode: cron}", 'deploy.mode "cron" is not one of'),
        ("deploy: {mode: global, replicas: 2}", "c0.yaml:4:38: replicas make no sense in mode global"),
        ("deploy: {replicas: x}", 'c0.yaml:4:24: "x" is no whole number'),
        ("stop_grace_period: 5", "it must be text"),
        ("stop_grace_period: '5'", 'c0.yaml:4:24: invalid duration "5"'),
        ("mem_limit: 5q", "c0.yaml:4:16: invalid size"),
        ("read_only: maybe", '"maybe" is neither true nor false'),
        ('command: "a \'b"', "cannot split it into words"),
        ("restart: sometimes", '"sometimes" is not one of no, always'),
        ("deploy: {restart_policy: {condition: never}}", '"never" is not one of any, on-failure, none'),
        ("ports: [{target: 80, mode: both}]", '"both" is not one of ingress, host'),
        ("volumes: [{type: npipe, source: a, target: /a}]", "this version has no mounts of type npipe"),
        ("tmpfs: '/t:fast'", '"fast" is no option of a tmpfs'),
        ("devices: ['x']", "c0.yaml:4:15: "),
        ("gpus: [{count: 1, device_ids: ['0']}]", "say count or device_ids"),
        ("deploy: {resources: {reservations: {devices: [{capabilities: [tpu]}]}}}", "capability gpu"),
        ("runtime: crun", "c0.yaml:4:5: runtime is not supported"),
    ],
)
def test_what_cannot_be_done_is_refused_with_its_place(lines: str, problem: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        service(lines)
    assert problem in str(refused.value)


def test_a_service_needs_an_image_and_a_stack_a_service() -> None:
    with pytest.raises(InvalidArgument, match=r"^c0.yaml:1:17: services.web: image must be said"):
        stack("services: {web: {tty: true}}\n")
    with pytest.raises(InvalidArgument, match="there is no service in it"):
        stack("services: {}\n")


def test_what_is_ignored_is_told_once_with_its_place() -> None:
    text = (
        "version: '3'\nservices:\n  web:\n    image: w\n    container_name: cc\n"
        "    logging: {driver: x, options: {a: b}}\n"
    )
    assert stack(text).warnings == [
        "c0.yaml:1:1: version is ignored: it says nothing any more",
        "c0.yaml:5:5: container_name is ignored: tasks have names of their own, SERVICE.SLOT.ID",
        "c0.yaml:6:23: the driver x is ignored: agents keep the output: `swarmctl service logs`",
        "c0.yaml:6:39: a is ignored: agents keep the output: `swarmctl service logs`",
    ]


def test_names_that_look_like_keys_are_no_keys() -> None:
    found = service("environment: {privileged: 1, ports: 2}\nlabels: {secrets: x}")
    assert list(found.task.container.env) == ["privileged=1", "ports=2"]


def test_a_seccomp_profile_is_read_from_beside_the_file() -> None:
    profile = '{"defaultAction": "SCMP_ACT_ALLOW"}'
    found = service("security_opt: ['seccomp:p.json']", files=Files(p__json=profile))
    validate_service(found)
    assert found.task.container.privileges.seccomp.profile.decode() == profile
    with pytest.raises(InvalidArgument, match=r"c0.yaml:4:\d+: there is no file /srv/shop/none.json"):
        service("security_opt: [seccomp=./none.json]")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("ulimits: {fly: 1}", r"c0.yaml:4:\d+: ulimit|\"fly\" is not a ulimit"),
        ("oom_score_adj: a", "no whole number"),
        ("security_opt: ['label:kind:x']", "label=type:NAME"),
    ],
)
def test_options_that_make_no_sense_are_told_with_their_place(text: str, problem: str) -> None:
    with pytest.raises(InvalidArgument, match=problem):
        service(text)


DATA = """
services:
  web:
    image: w
    secrets:
      - key
      - {source: cert, target: /etc/cert.pem, uid: "33", gid: "34", mode: 0440}
      - {source: theirs, mode: "0400"}
    configs: [ini, {source: old, target: /o}]
secrets:
  key: {file: key.txt, labels: {a: b}}
  cert: {environment: CERT, name: the-cert, template_driver: golang}
  theirs: {external: true, name: their-key}
  unused: {file: nowhere}
configs:
  ini: {content: "x=${X:-1}"}
  old: {external: {name: older}}
"""


def test_secrets_and_configs_that_services_use_belong_to_the_stack() -> None:
    files = Files()
    files.add("key.txt", "k")
    found = stack(DATA, files=files, variables={"CERT": "c"})
    assert [(one.annotations.name, one.secret_data, one.template_driver) for one in found.secrets] == [
        ("shop_key", b"k", ""),
        ("the-cert", b"c", "golang"),
    ]
    assert dict(found.secrets[0].annotations.labels) == {"a": "b", NAMESPACE_LABEL: "shop"}
    assert [(one.annotations.name, one.data) for one in found.configs] == [("shop_ini", b"x=1")]
    container = found.services[0].task.container
    assert [(one.secret_name, one.target.name, one.target.mode) for one in container.secrets] == [
        ("shop_key", "key", 0),
        ("the-cert", "/etc/cert.pem", 0o440),
        ("their-key", "theirs", 0o400),
    ]
    assert (container.secrets[1].target.uid, container.secrets[1].target.gid) == (33, 34)
    assert [(one.config_name, one.target.name) for one in container.configs] == [
        ("shop_ini", "/ini"),
        ("older", "/o"),
    ]


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ("{file: a, content: b}", "say one of file, environment, content or external"),
        ("{}", "say one of file, environment, content or external"),
        ("{file: no}", "there is no file /srv/shop/no"),
        ("{environment: NO}", "the variable NO is not set"),
    ],
)
def test_a_config_without_content_is_refused_with_its_place(entry: str, problem: str) -> None:
    text = f"services: {{web: {{image: w, configs: [c]}}}}\nconfigs:\n  c: {entry}\n"
    with pytest.raises(InvalidArgument) as refused:
        stack(text)
    assert str(refused.value).startswith("c0.yaml:3:")
    assert problem in str(refused.value)


def test_a_port_is_published_at_the_address_that_its_file_names() -> None:
    (port,) = service("ports: ['127.0.0.1:8080:80']").endpoint.ports
    assert (port.host_ip, port.published_port, port.target_port) == ("127.0.0.1", 8080, 80)
