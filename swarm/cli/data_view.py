"""Secrets and configs, and references to them, as `inspect` shows them."""

from base64 import b64encode
from typing import Any

from swarm.api.v1 import objects_pb2 as o
from swarm.api.v1 import specs_pb2 as s
from swarm.model.file_references import MODE

View = dict[str, Any]


def references(spec: s.ContainerSpec) -> View:
    """Return what a container refers to, in Docker's words; nothing for one without references."""
    view: View = {}
    if spec.secrets:
        view["Secrets"] = [
            {"File": _file(one), "SecretID": one.secret_id, "SecretName": one.secret_name}
            for one in spec.secrets
        ]
    if spec.configs:
        view["Configs"] = [
            {"File": _file(one), "ConfigID": one.config_id, "ConfigName": one.config_name}
            for one in spec.configs
        ]
    return view


def _file(one: s.SecretReference | s.ConfigReference) -> View:
    name = one.secret_name if isinstance(one, s.SecretReference) else f"/{one.config_name}"
    mode = one.target.mode if one.target.HasField("mode") else MODE
    target = one.target
    return {"Name": target.name or name, "UID": str(target.uid), "GID": str(target.gid), "Mode": mode}


def data(item: o.Secret | o.Config) -> View:
    """Return a secret or config as `inspect` prints it; a config with its data in base64."""
    from swarm.cli.inspect_view import meta

    spec: View = {"Name": item.spec.annotations.name, "Labels": dict(item.spec.annotations.labels)}
    if isinstance(item, o.Config):
        spec["Data"] = b64encode(item.spec.data).decode()
    if item.spec.template_driver:
        spec["Templating"] = {"Name": item.spec.template_driver}
    return meta(item) | {"Spec": spec}


def pretty(item: o.Secret | o.Config) -> str:
    """Return a secret or config for people; a config with its data as it is."""
    from swarm.cli.inspect_view import when

    labels = [f" - {key}={value}" for key, value in sorted(item.spec.annotations.labels.items())]
    lines = [
        f"ID: {item.id}",
        f"Name: {item.spec.annotations.name}",
        *(["Labels:", *labels] if labels else []),
        *([f"Template driver: {item.spec.template_driver}"] if item.spec.template_driver else []),
        f"Created at: {when(item.meta.created_at)}",
        f"Updated at: {when(item.meta.updated_at)}",
    ]
    if isinstance(item, o.Config):
        lines += ["Data:", item.spec.data.decode(errors="replace")]
    return "\n".join(lines)
