"""What people see of the nodes' disks. Pure."""

from collections.abc import Iterable, Iterator, Mapping

from swarm.api.v1.containers_pb2 import ContainerOutput
from swarm.api.v1.system_pb2 import DiskKind, DiskUsage
from swarm.cli.render import Row
from swarm.model.units import format_size

COLUMNS = (
    ("NODE", "Node"),
    ("TYPE", "Type"),
    ("TOTAL", "TotalCount"),
    ("ACTIVE", "Active"),
    ("SIZE", "Size"),
    ("RECLAIMABLE", "Reclaimable"),
)
RAW = (
    ("type", "Type"),
    ("total", "TotalCount"),
    ("active", "Active"),
    ("size", "Size"),
    ("reclaimable", "Reclaimable"),
)
ITEM_COLUMNS = (
    ("NODE", "Node"),
    ("TYPE", "Type"),
    ("NAME", "Name"),
    ("SIZE", "Size"),
    ("USED BY", "Users"),
)


def rows(answers: Iterable[ContainerOutput], names: Mapping[str, str]) -> list[Row]:
    """Return the rows of `system df`, node by node; the last of each is its file system."""
    found: list[Row] = []
    for one in sorted(answers, key=lambda one: names.get(one.node_id, one.node_id)):
        node = names.get(one.node_id, one.node_id)
        found += [{"Node": node, **_row(kind, usage)} for kind, usage in _kinds(one.disk)]
        disk = one.disk.file_system
        used, total = disk.total_bytes - disk.free_bytes, format_size(disk.total_bytes)
        found.append(
            {
                "Node": node,
                "Type": f"Disk of {disk.path}",
                "TotalCount": "",
                "Active": "",
                "Size": f"{format_size(used)} of {total}{_percent(used, disk.total_bytes)}",
                "Reclaimable": "",
            }
        )
    return found


def item_rows(answers: Iterable[ContainerOutput], names: Mapping[str, str]) -> list[Row]:
    """Return the rows of `system df -v`, the largest of each kind first."""
    return [
        {
            "Node": names.get(one.node_id, one.node_id),
            "Type": kind,
            "Name": item.name,
            "ID": item.id,
            "Size": format_size(item.size_bytes),
            "Users": ", ".join(item.users) or ("running" if item.active else ""),
        }
        for one in sorted(answers, key=lambda one: names.get(one.node_id, one.node_id))
        for kind, usage in _kinds(one.disk)
        for item in sorted(usage.items, key=lambda item: (-item.size_bytes, item.name))
    ]


def _kinds(usage: DiskUsage) -> Iterator[tuple[str, DiskKind]]:
    yield "Images", usage.images
    yield "Containers", usage.containers
    yield "Local Volumes", usage.volumes


def _row(kind: str, usage: DiskKind) -> Row:
    reclaimable = usage.reclaimable_bytes
    return {
        "Type": kind,
        "TotalCount": str(usage.count),
        "Active": str(usage.active),
        "Size": format_size(usage.size_bytes),
        "Reclaimable": f"{format_size(reclaimable)}{_percent(reclaimable, usage.size_bytes)}",
    }


def _percent(part: int, whole: int) -> str:
    return f" ({100 * part // whole}%)" if whole else ""
