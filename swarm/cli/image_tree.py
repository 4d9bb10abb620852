"""`swarmctl image ls --tree`: images with all their names, and what they have for each platform."""

from collections.abc import Collection, Iterable, Mapping, Sequence

from swarm.api.v1 import control_pb2 as c
from swarm.api.v1.containers_pb2 import ContainerRequest, ContainerSummary, ListContainers
from swarm.api.v1.objects_pb2 import Image
from swarm.cli.connect import Connection
from swarm.cli.container_calls import Notices, ask
from swarm.cli.image_view import NAMELESS, SHORT_DIGEST
from swarm.cli.render import Row, aligned
from swarm.errors import InvalidArgument, SwarmError
from swarm.model.reference import parse_reference
from swarm.model.units import format_size

_LEGEND = "Info → U In Use"
_TITLES = ("IMAGE", "ID", "CONTENT SIZE", "EXTRA")
_USED = "U"

Platforms = Mapping[str, Sequence[c.PlatformImage]]  # by the digest of the image


def asked(
    conn: Connection, images: Iterable[Image], shown: Collection[str], notices: Notices
) -> tuple[Platforms, frozenset[str]]:
    """Ask what the images with the digests `shown` have for each platform, and which have containers.

    What a manager cannot say of an image is told, and left out.
    """
    known = [item for item in images if item.digest in shown]
    platforms: dict[str, Sequence[c.PlatformImage]] = {}
    for digest, item in {item.digest: item for item in known}.items():
        try:
            answer = conn.control.GetImageHistory(c.GetImageHistoryRequest(ref=item.id))
            platforms[digest] = answer.platforms
        except SwarmError as problem:
            notices.add(f"image {item.annotations.name}: its platforms are not shown: {problem}")
    answers = ask(conn, ContainerRequest(list=ListContainers(all=True)), ())
    containers = [one.container for one in notices.filter(answers) if one.HasField("container")]
    return platforms, used(known, containers)


def used(images: Iterable[Image], containers: Iterable[ContainerSummary]) -> frozenset[str]:
    """Return the digests of those images that a container is made of, by its name or its content."""
    named = {item.annotations.name: item.digest for item in images}
    digests = frozenset(named.values())
    found = set()
    for one in containers:
        try:
            parsed = parse_reference(one.image)
        except InvalidArgument:
            continue
        found.add(parsed.digest if parsed.digest in digests else named.get(str(parsed), ""))
    return frozenset(found & digests)


def tree(rows: Sequence[Row], platforms: Platforms, in_use: Collection[str]) -> str:
    """Return the table: an image under its names, then a line for each platform."""
    blocks: dict[str, list[list[str]]] = {}
    for row in rows:
        name = "<untagged>" if row["Tag"] == NAMELESS else f"{row['Repository']}:{row['Tag']}"
        blocks.setdefault(row["Digest"], []).append([name])
    sizes = {row["Digest"]: row["Size"] for row in rows}
    for digest, block in blocks.items():
        block[-1] += [_short(digest), sizes[digest], _USED if digest in in_use else ""]
        found = platforms.get(digest, ())
        block += [_line(one, last=number == len(found)) for number, one in enumerate(found, 1)]
    lines: list[Sequence[str]] = [_TITLES]
    for block in blocks.values():
        lines += [*block, ()]
    text = aligned(_right(lines)).rstrip("\n")
    width = max(map(len, text.splitlines()))
    return f"{_LEGEND:>{width}}\n\n{text}"


def _line(one: c.PlatformImage, *, last: bool) -> list[str]:
    size = format_size(one.size_bytes) if one.held else "0B"
    return [f"{'└─' if last else '├─'} {one.platform or 'unknown'}", _short(one.digest), size]


def _short(digest: str) -> str:
    return digest.removeprefix("sha256:")[:SHORT_DIGEST]


def _right(lines: Sequence[Sequence[str]]) -> list[Sequence[str]]:
    """Return the lines with their sizes at the right."""
    width = max(len(line[2]) for line in lines if len(line) > 2)
    return [(*line[:2], line[2].rjust(width), *line[3:]) if len(line) > 2 else line for line in lines]
