"""What people see of the images of the cluster. Pure."""

import fnmatch
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from swarm.api.v1.objects_pb2 import Image
from swarm.cli import parse
from swarm.cli.inspect_view import table_time
from swarm.cli.render import Row
from swarm.clock import nanoseconds
from swarm.errors import Ambiguous, InvalidArgument, NotFound
from swarm.model.reference import begins_digest, parse_reference
from swarm.model.units import format_age, format_size

COLUMNS = (
    ("REPOSITORY", "Repository"),
    ("TAG", "Tag"),
    ("IMAGE ID", "ID"),
    ("CREATED", "CreatedSince"),
    ("SIZE", "Size"),
)
RAW = (
    ("repository", "Repository"),
    ("tag", "Tag"),
    ("image_id", "ID"),
    ("created_at", "CreatedAt"),
    ("virtual_size", "Size"),
)
DIGEST_RAW = (*RAW[:2], ("digest", "Digest"), *RAW[2:])
DIGEST_COLUMNS = (*COLUMNS[:2], ("DIGEST", "Digest"), *COLUMNS[2:])
SHORT_DIGEST = 12
# What templates may ask for, whether an image says it or not.
_CONFIG: dict[str, Any] = {
    "User": "",
    "Env": [],
    "Cmd": None,
    "Entrypoint": None,
    "WorkingDir": "",
    "Volumes": None,
    "OnBuild": None,
    "Labels": {},
}
_TOLD = ("author", "architecture", "variant", "os")  # of a configuration, as Docker shows them
NAMELESS = "<none>"


def rows(
    images: Iterable[Image], filters: Mapping[str, Sequence[str]], now_ns: int, *, truncate: bool
) -> list[Row]:
    """Return the rows of `image ls` by name; raises InvalidArgument, and NotFound for before= and since=."""
    known = list(images)
    shown = [
        (item, _row(item, now_ns, truncate=truncate)) for item in known if _is_in_time(item, known, filters)
    ]
    found = [row for _, row in shown if _matches(row, filters)]
    return sorted(found, key=lambda row: (row["Repository"], row["Tag"]))


def _row(item: Image, now_ns: int, *, truncate: bool) -> Row:
    named = parse_reference(item.annotations.name)
    age = f"{format_age(now_ns - nanoseconds(item.meta.created_at))} ago"
    return {
        "Repository": replace(named, tag="", digest="").familiar,
        "Tag": named.tag or NAMELESS,  # kept for services after its name moved on
        "ID": item.digest.removeprefix("sha256:")[:SHORT_DIGEST] if truncate else item.digest,
        "Digest": item.digest,
        "Created": age,
        "CreatedSince": age,
        "CreatedAt": table_time(item.meta.created_at),
        "Size": format_size(item.size_bytes),
        "VirtualSize": format_size(item.size_bytes),
        **dict.fromkeys(("Containers", "SharedSize", "UniqueSize"), "N/A"),  # as with Docker's without `-v`
    }


def _matches(row: Row, filters: Mapping[str, Sequence[str]]) -> bool:
    patterns, dangling = filters.get("reference", ()), filters.get("dangling", ())
    if patterns and not any(_fits(row, pattern) for pattern in patterns):
        return False
    return all(parse.truth("dangling", text) == (row["Tag"] == NAMELESS) for text in dangling)


def _fits(row: Row, pattern: str) -> bool:
    """Whether a name fits `shop/web`, `shop/*`, `shop/web:1.*`; a pattern without a tag fits every tag."""
    whole = f"{row['Repository']}:{row['Tag']}"
    return fnmatch.fnmatchcase(row["Repository"], pattern) or fnmatch.fnmatchcase(whole, pattern)


def _is_in_time(item: Image, known: Sequence[Image], filters: Mapping[str, Sequence[str]]) -> bool:
    at_ns = nanoseconds(item.meta.created_at)
    after = all(at_ns > _created_ns(known, ref) for ref in filters.get("since", ()))
    return after and all(at_ns < _created_ns(known, ref) for ref in filters.get("before", ()))


def named(known: Iterable[Image], ref: str) -> list[Image]:
    """Return the image of a name; else those whose id `ref` is or begins: the names of one content.

    Raises NotFound, and Ambiguous where the content is not the same.
    """
    images = sorted(known, key=lambda item: item.annotations.name)
    try:
        name = str(parse_reference(ref))
    except InvalidArgument:
        name = ""
    if exact := [item for item in images if item.annotations.name == name or item.id == ref]:
        return exact
    found = [item for item in images if begins_digest(item.digest, ref)]
    if not found:
        raise NotFound(
            f"image {ref} is not loaded into the cluster; `swarmctl image ls` lists those that are"
        )
    if len({item.digest for item in found}) > 1:
        raise Ambiguous(f"{ref} may be any of {len(found)} images: write more of the id")
    return found


def page(item: Image, known: Iterable[Image], told: bytes = b"") -> dict[str, Any]:
    """Return an image as `image inspect` prints it: in Docker's words, then in ours.

    `told` is the image's configuration, JSON of a stranger: what is not of the kind expected is left out.
    """
    from swarm.cli.inspect_view import image

    says = _object(told)
    layers = _dict(says.get("rootfs"))
    rootfs = {"Type": layers.get("type") or "layers", "Layers": layers.get("diff_ids") or []}
    same = [parse_reference(one.annotations.name) for one in known if one.digest == item.digest]
    ours = image(item)
    return {
        "Id": item.digest,
        "RepoTags": sorted(one.familiar for one in same if one.tag),
        "RepoDigests": sorted({f"{replace(one, tag='', digest='').familiar}@{item.digest}" for one in same}),
        "Created": says.get("created") or ours["CreatedAt"],
        **{word.capitalize(): says.get(word) or "" for word in _TOLD if says},
        **(
            {
                "Comment": _comment(says),
                "DockerVersion": str(says.get("docker_version") or ""),
                "Config": _CONFIG | _dict(says.get("config")),
                "RootFS": rootfs,
            }
            if says
            else {}
        ),
        **ours,
    }


def _comment(says: Mapping[str, Any]) -> str:
    """Return what was said of the last step."""
    steps = says.get("history")
    last = _dict(steps[-1]) if isinstance(steps, list) and steps else {}
    return str(last.get("comment") or says.get("comment") or "")


def _object(text: bytes) -> dict[str, Any]:
    try:
        found = json.loads(text or b"{}")
    except ValueError:
        return {}
    return _dict(found)


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _created_ns(known: Sequence[Image], ref: str) -> int:
    return nanoseconds(named(known, ref)[0].meta.created_at)
