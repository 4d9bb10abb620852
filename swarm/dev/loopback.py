"""Which loopback addresses do programs of this machine listen on, also those of other users?"""

import sys
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

_LISTEN = "0A"


def used_subnets() -> Sequence[IPv4Network]:
    """Return the /24 networks in 127.0.0.0/8 with a listening TCP socket."""
    return parse(Path("/proc/net/tcp").read_text().splitlines()[1:])


def parse(lines: Iterable[str]) -> Sequence[IPv4Network]:
    """Return the loopback /24 networks that lines of /proc/net/tcp say are listened on."""
    found = set()
    for line in lines:
        fields = line.split()
        raw = bytes.fromhex(fields[1].partition(":")[0])
        address = IPv4Address(raw[::-1] if sys.byteorder == "little" else raw)
        if fields[3] == _LISTEN and address.is_loopback:
            found.add(IPv4Network((address, 24), strict=False))
    return sorted(found)
