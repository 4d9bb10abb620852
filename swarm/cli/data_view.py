"""Secrets and configs, and references to them, as `inspect` shows them."""

from base64 import b64encode
from collections.abc import Iterable
from typing import Any

from swarm.api.v1 import objects_pb2 as o
from swarm.api.v1 import specs_pb2 as s
from swarm.cli.render import Row, ordered
from swarm.cli.templates.values import EncodedText
from swarm.model.data_versions import is_replaced, number_of
from swarm.model.file_references import MODE, data_ids

View = dict[str, Any]

HISTORY_COLUMNS = (
    ("VERSION", "VersionMark"),
    ("ID", "ID"),
    ("CREATED", "CreatedAt"),
    ("BY", "By"),
    ("SIZE", "Size"),
    ("USED BY", "UsedBy"),
)


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
    name = one.secret_name if isinstance(one, s.SecretReference) else one.config_name
    mode = one.target.mode if one.target.HasField("mode") else MODE
    target = one.target
    return {"Name": target.name or name, "UID": str(target.uid), "GID": str(target.gid), "Mode": mode}


def data(item: o.Secret | o.Config) -> View:
    """Return a secret or config as `inspect` prints it; a config with its data in base64."""
    from swarm.cli.inspect_view import meta

    spec: View = {"Name": item.spec.annotations.name, "Labels": ordered(item.spec.annotations.labels)}
    if isinstance(item, o.Config):
        spec["Data"] = EncodedText(b64encode(item.spec.data).decode())
    if isinstance(item, o.Secret) and item.spec.HasField("driver"):
        spec["Driver"] = {"Name": item.spec.driver.name, "Options": ordered(item.spec.driver.options)}
    if item.spec.template_driver:
        spec["Templating"] = {"Name": item.spec.template_driver}
    return meta(item) | {"Number": number_of(item), "CreatedBy": item.created_by, "Spec": spec}


def pretty(item: o.Secret | o.Config) -> str:
    """Return a secret or config for people; a config with its data as it is."""
    from swarm.cli.inspect_view import when

    labels = [f" - {key}={value}" for key, value in sorted(item.spec.annotations.labels.items())]
    lines = [
        f"ID: {item.id}",
        f"Name: {item.spec.annotations.name}",
        f"Version: {number_of(item)}",
        *(["Labels:", *labels] if labels else []),
        *(_driver_lines(item.spec.driver) if isinstance(item, o.Secret) else ()),
        *([f"Template driver: {item.spec.template_driver}"] if item.spec.template_driver else []),
        f"Created at: {when(item.meta.created_at)}",
        f"Updated at: {when(item.meta.updated_at)}",
    ]
    if isinstance(item, o.Config):
        lines += ["Data:", item.spec.data.decode(errors="replace")]
    return "\n".join(lines)


def _driver_lines(driver: s.SecretDriver) -> Iterable[str]:
    if not driver.name:
        return
    yield f"Driver: {driver.name}"
    yield from (f" - {key}={value}" for key, value in sorted(driver.options.items()))


def _size(item: o.Secret | o.Config) -> str:
    """Return how large it is, as far as that is known: what a driver gives is not."""
    from swarm.model.units import format_size

    is_driven = isinstance(item, o.Secret) and item.spec.HasField("driver")
    return "-" if is_driven else format_size(item.data_bytes)


def history_rows(
    items: Iterable[o.Secret | o.Config], services: Iterable[o.Service], now_ns: int
) -> list[Row]:
    """Return one row a version, newest first; services that may go back to one have a `~`."""
    from swarm.clock import nanoseconds
    from swarm.model.units import format_age

    known = sorted(services, key=lambda one: one.spec.annotations.name)
    rows: list[Row] = []
    for item in sorted(items, key=number_of, reverse=True):
        number = str(number_of(item))
        users = [text for one in known if (text := _user(one, item.id))]
        rows.append(
            {
                "Version": number,
                "VersionMark": number if is_replaced(item) else f"{number} *",
                "Current": str(not is_replaced(item)).lower(),
                "ID": item.id,
                "CreatedAt": f"{format_age(now_ns - nanoseconds(item.meta.created_at))} ago",
                "By": item.created_by or "-",
                "Size": _size(item),
                "UsedBy": ", ".join(users) or "-",
            }
        )
    return rows


def _user(service: o.Service, data_id: str) -> str:
    name = service.spec.annotations.name
    if data_id in _ids(service.spec):
        return name
    return f"~{name}" if data_id in _ids(service.previous_spec) else ""


def _ids(spec: s.ServiceSpec) -> frozenset[str]:
    return data_ids(spec.task.container) | {one.tls_secret_id for one in spec.endpoint.routes}
