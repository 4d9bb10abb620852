"""Every key of the Compose specification that is honoured, with values that it may have.

What is here is put into a file (`document`); tests take keys away again, put nonsense in their place, and
draw some of them.
"""

from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any

from swarm.compose.support import general_path

Path = tuple[str | int, ...]

_UPDATE = {
    "parallelism": 2,
    "delay": "10s",
    "failure_action": "continue",
    "monitor": "1m30s",
    "max_failure_ratio": 0.25,
    "order": "start-first",
}

# What the services below name.
TOP: Mapping[str, Mapping[str, Any]] = {
    "volumes": {"data": None, "there": {"external": True, "name": "elsewhere"}},
    "networks": {
        "front": {
            "driver": "overlay",
            "driver_opts": {"com.docker.network.driver.mtu": "1400"},
            "attachable": True,
            "internal": True,
            "labels": {"a": "b"},
            "ipam": {
                "driver": "default",
                "config": [
                    {
                        "subnet": "192.0.2.0/24",
                        "ip_range": "192.0.2.128/25",
                        "gateway": "192.0.2.1",
                        "aux_addresses": {"printer": "192.0.2.9"},
                    }
                ],
            },
        },
        "six": {
            "name": "with-six",
            "enable_ipv6": True,
            "enable_ipv4": False,
            "ipam": {"config": [{"subnet": "2001:db8::/64"}]},
        },
        "also-six": {"enable_ipv6": True},
        "outside": {"external": {"name": "of-others"}},
    },
    "secrets": {
        "key": {"file": "key.txt", "labels": {"a": "b"}, "template_driver": "golang", "name": "the-key"},
        "word": {"environment": "WORD"},
        "vaulted": {
            "driver": "vault",
            "driver_opts": {
                "address": "https://vault:8200",
                "path": "kv/data/x",
                "field": "y",
                "token-secret": "of-others",
            },
        },
        "theirs": {"external": {"name": "of-others"}},
    },
    "configs": {
        "conf": {"content": "a=1\n", "labels": {"a": "b"}, "template_driver": "golang", "name": "the-conf"},
        "from-file": {"file": "key.txt"},
        "from-variable": {"environment": "WORD"},
        "theirs": {"external": {"name": "of-others"}},
    },
}

# Top-level keys that need a file of their own, with a service that uses what they say.
MORE: tuple[Mapping[str, Any], ...] = (
    {"volumes": {"data": {"driver": "local", "driver_opts": {"type": "tmpfs", "device": "tmpfs"}}}},
    {"volumes": {"data": {"labels": {"a": "b"}, "name": "other"}}},
    {"volumes": {"data": {"external": {"name": "other"}}}},
    {"include": [{"path": "more.yaml", "project_directory": "sub", "env_file": "more.env"}]},
    {"networks": {"default": {"driver": "macvlan", "driver_opts": {"parent": "eth0"}}}},
)
USES_DATA = {"volumes": ["data:/data"], "image": "web:1"}

# Values by the key of a service, each enough by itself.
SERVICE: Mapping[str, tuple[Any, ...]] = {
    "annotations": ({"com.example.a": "b"},),
    "blkio_config": (
        {"weight": 300},
        {"weight_device": [{"path": "/dev/sda", "weight": 300}]},
        {"device_read_bps": [{"path": "/dev/sda", "rate": "1mb"}]},
        {"device_write_bps": [{"path": "/dev/sda", "rate": "1mb"}]},
        {"device_read_iops": [{"path": "/dev/sda", "rate": 9}]},
        {"device_write_iops": [{"path": "/dev/sda", "rate": 9}]},
    ),
    "cap_add": (["NET_ADMIN"],),
    "cap_drop": (["CHOWN", "CAP_KILL"],),
    "cgroup": ("private",),
    "cgroup_parent": ("/batch",),
    "command": (["sh", "-c", "exit 1"], "run --now 'a b'"),
    "configs": (
        ["conf"],
        ["from-file", "from-variable", "theirs"],
        [{"source": "conf", "target": "/etc/conf", "uid": "1", "gid": "2", "mode": 0o400}],
    ),
    "cpu_quota": (25_000,),
    "cpu_shares": (512,),
    "cpus": (0.5, "1.5"),
    "cpuset": ("0-1",),
    "depends_on": (
        ["db"],
        {
            "db": {"condition": "service_healthy"},
            "gone": {"condition": "service_started", "required": False},
        },
    ),
    "devices": (
        ["/dev/null:/dev/nil:r"],
        [{"source": "/dev/null", "target": "/dev/nil", "permissions": "rw"}],
    ),
    "dns": ("192.0.2.53", ["192.0.2.53", "192.0.2.54"]),
    "dns_opt": (["ndots:2"],),
    "dns_search": ("example.org",),
    "entrypoint": (["/bin/sh"], "/bin/sh -c"),
    "env_file": (
        "more.env",
        [{"path": "more.env", "format": "raw"}, {"path": "no.env", "required": False}],
    ),
    "environment": (["A=1", "B="], {"A": 1, "B": True}),
    "extends": ({"file": "more.yaml", "service": "base"},),
    "extra_hosts": (["db:192.0.2.1"], {"db": "192.0.2.1"}),
    "gpus": (
        "all",
        [{"driver": "amd.com/gpu", "count": 2, "capabilities": ["gpu"]}],
        [{"device_ids": ["0"], "capabilities": ["gpu"]}],
    ),
    "group_add": (["audio", 1000],),
    "healthcheck": (
        {
            "test": ["CMD", "true"],
            "interval": "10s",
            "timeout": "3s",
            "retries": 5,
            "start_period": "1m",
            "start_interval": "2s",
        },
        {"test": "true", "interval": "10s"},
        {"disable": True},
    ),
    "hostname": ("host",),
    "init": (True,),
    "ipc": ("host",),
    "label_file": ("more.env",),
    "labels": (["a=b"], {"a": "b", "c": 5}),
    "logging": ({"driver": "journald", "options": {"max-size": "10m", "max-file": "3"}},),
    "mem_limit": ("64m",),
    "mem_reservation": ("32m",),
    "mem_swappiness": (10,),
    "network_mode": ("host",),
    "networks": (
        ["front"],
        {
            "front": {"aliases": ["www"], "ipv4_address": "192.0.2.200", "driver_opts": {"a": "b"}},
            "six": {"priority": 5, "ipv6_address": "2001:db8::5"},
            "outside": None,
        },
    ),
    "oom_score_adj": (-500,),
    "pid": ("host",),
    "pids_limit": (50,),
    "platform": ("linux/amd64",),
    "ports": (
        ["8080:80"],
        [
            {
                "target": 53,
                "published": "5353",
                "protocol": "udp",
                "mode": "host",
                "host_ip": "127.0.0.1",
                "name": "names",
            }
        ],
    ),
    "privileged": (True,),
    "profiles": (["debug"],),
    "read_only": (True,),
    "restart": ("on-failure:3", "no"),
    "scale": (3,),
    "secrets": (
        ["key"],
        ["word", "vaulted", "theirs"],
        [{"source": "key", "target": "k", "uid": "1", "gid": "2", "mode": "0400"}],
    ),
    "security_opt": (["no-new-privileges:true"],),
    "shm_size": ("64m",),
    "stop_grace_period": ("1m30s",),
    "stop_signal": ("SIGUSR1",),
    "sysctls": ({"net.core.somaxconn": 1024},),
    "tmpfs": ("/run", ["/tmp:size=64m,mode=1777"]),
    "tty": (True,),
    "ulimits": ({"nofile": {"soft": 10, "hard": 20}}, {"nproc": 5}),
    "user": ("1000:1000",),
    "userns_mode": ("private",),
    "uts": ("host",),
    "volumes": (
        ["data:/data", "./here:/here:ro", "/anonymous"],
        [
            {
                "type": "bind",
                "source": "./here",
                "target": "/here",
                "read_only": True,
                "bind": {"propagation": "rshared", "create_host_path": True, "selinux": "z"},
            },
            {"type": "tmpfs", "target": "/quick", "tmpfs": {"size": "64m", "mode": 0o700}},
            {
                "type": "volume",
                "source": "data",
                "target": "/data",
                "volume": {"nocopy": True, "subpath": "sub", "labels": {"a": "b"}},
            },
            {"type": "image", "source": "files:1", "target": "/files", "image": {"subpath": "share"}},
            {"type": "volume", "source": "there", "target": "/there"},
        ],
    ),
    "working_dir": ("/srv",),
}
# Keys that mean something only beside others.
TOGETHER: tuple[Mapping[str, Any], ...] = (
    {"mem_limit": "64m", "memswap_limit": "128m"},
    {"cpu_quota": 25_000, "cpu_period": 50_000},
    {"build": {"context": "app", "dockerfile": "Other"}},
    {
        "build": {
            "context": "app",
            "dockerfile_inline": "FROM scratch\n",
            "args": {"A": "1"},
            "labels": {"a": "b"},
            "no_cache": True,
            "pull": True,
            "platforms": ["linux/amd64"],
            "tags": ["web:2"],
            "target": "last",
        }
    },
)
DEPLOY: Mapping[str, tuple[Any, ...]] = {
    "endpoint_mode": ("dnsrr", "vip"),
    "labels": (["a=b"], {"a": "b"}),
    "mode": ("replicated", "global", "global-job", "replicated-job"),
    "placement": (
        {
            "constraints": ["node.role==worker", "node.labels.a != b"],
            "preferences": [{"spread": "node.labels.zone"}],
            "max_replicas_per_node": 2,
            "x-affinity": ["service!=db,weight=5"],
            "x-sticky": True,
            "x-strategy": "spread",
        },
    ),
    "replicas": (3, "2"),
    "resources": (
        {"limits": {"cpus": "0.5", "memory": "64m", "pids": 50}},
        {
            "reservations": {
                "cpus": 0.25,
                "memory": "32m",
                "generic_resources": [{"discrete_resource_spec": {"kind": "disk", "value": 2}}],
                "devices": [{"capabilities": ["gpu"], "driver": "amd.com/gpu", "count": 1}],
            }
        },
        {"reservations": {"devices": [{"capabilities": ["gpu"], "device_ids": ["0", "1"]}]}},
    ),
    "restart_policy": (
        {"condition": "on-failure", "delay": "5s", "max_attempts": 3, "window": "2m"},
        {"condition": "none"},
    ),
    "rollback_config": (_UPDATE,),
    "update_config": (_UPDATE, {**_UPDATE, "failure_action": "rollback", "x-canary": 1}),
    "x-endpoint": ({"affinity": "client-ip", "drain": "5s", "snat": True},),
    "x-preempt": (True,),
    "x-priority": (-3, 3),
    "x-rebalance": ("auto", "off"),
}

FILES = {
    "key.txt": "k3y",
    "more.env": "FROM_FILE=1\nQUOTED='a b'\n",
    "more.yaml": (
        "services:\n"
        "  base: {image: 'base:1', environment: {BASED: \"${FROM_FILE:-no}\"}, volumes: ['./x:/x']}\n"
    ),
}
VARIABLES = {"WORD": "w0rd"}


def document(service: Mapping[str, Any], **top: Any) -> dict[str, Any]:
    """Return a file with a service `web` that says this, and all that it names."""
    services = {"web": {"image": "web:1", **service}}
    if {"depends_on", "profiles"} & service.keys():
        services["db"] = {"image": "db:1"}
    named = {kind: entries for kind, entries in TOP.items() if kind in service}
    return deepcopy({"services": services, **named, **top})


def documents() -> Iterator[dict[str, Any]]:
    """Yield files that together have every key that is honoured."""
    for key, values in SERVICE.items():
        yield from (document({key: value}) for value in values)
    for key, values in DEPLOY.items():
        yield from (document({"deploy": {key: value}}) for value in values)
    yield from (document(one) for one in TOGETHER)
    yield from (document(USES_DATA, **one) for one in MORE)
    # What is at the top counts as far as services use it.
    for kind in ("networks", "secrets", "configs"):
        yield document({kind: sorted(TOP[kind])})


def places(value: Any, path: Path = ()) -> Iterator[Path]:
    """Yield the path of everything below a value, of mappings and of lists."""
    below = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, entry in below:
        yield (*path, key)
        yield from places(entry, (*path, key))


def key_of(path: Path) -> str:
    """Return what rules call a place, e.g. `services.*.ports.target`."""
    return ".".join(general_path(tuple("*" if isinstance(step, int) else step for step in path)))


def without(value: Any, path: Path) -> Any:
    """Return a copy of a document in which nothing stands at `path`."""
    found = deepcopy(value)
    del _above(found, path)[path[-1]]
    return found


def having(value: Any, path: Path, other: Any) -> Any:
    """Return a copy of a document with something else at `path`."""
    found = deepcopy(value)
    _above(found, path)[path[-1]] = other
    return found


def _above(found: Any, path: Path) -> Any:
    for step in path[:-1]:
        found = found[step]
    return found
