"""How much did a container send, receive, read and write? What the kernel counts, added up."""

from dataclasses import replace
from pathlib import Path

from swarm.runtime.base import Sample, Transferred

_READ, _WRITTEN = frozenset({"rbytes", "Read"}), frozenset({"wbytes", "Write"})
_LOOPBACK = "lo"
_SENT = 8  # columns of what was received come first


def parse_devices(text: str) -> Transferred:
    """Return what all devices but the loopback moved, from a /proc/PID/net/dev."""
    received = sent = 0
    for line in text.splitlines():
        name, colon, counted = line.partition(":")
        columns = counted.split()
        if colon and name.strip() != _LOOPBACK and len(columns) > _SENT:
            received, sent = received + int(columns[0]), sent + int(columns[_SENT])
    return Transferred(received, sent)


def read_io(text: str | None) -> Transferred | None:
    """Return what disks were asked for: from `io.stat`, or a file `io_service_bytes` of version 1.

    Lines are `8:0 rbytes=1 wbytes=2 …`, or `8:0 Read 1` and `8:0 Write 2`. None without a file.
    """
    if text is None:
        return None
    read = written = 0
    for line in text.splitlines():
        words = [word for part in line.split()[1:] for word in part.split("=")]
        for name, count in zip(words[::2], words[1::2], strict=False):
            read += int(count) if name in _READ else 0
            written += int(count) if name in _WRITTEN else 0
    return Transferred(read, written)


def with_network(sample: Sample | None, pid: int) -> Sample | None:
    """Return a sample with what a container moved over its network, unless that is the node's own."""
    if sample is None or pid <= 0:
        return sample
    place = Path(f"/proc/{pid}")
    try:
        if (place / "ns/net").readlink() == Path("/proc/self/ns/net").readlink():
            return sample
        devices = (place / "net/dev").read_text("utf-8")
    except OSError:
        return sample  # it has just ended
    return replace(sample, network=parse_devices(devices))
