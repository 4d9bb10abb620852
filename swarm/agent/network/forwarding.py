"""This machine passes packets on because tasks need it, and no longer than somebody needs it.

What was there before is remembered in a file, when it was off: the switch changes other settings along with
it, so they are remembered too. It is put back only when nobody can need it any more: a machine with one
interface passes nothing on. Whoever came after us, with a bridge, a tunnel or a second card, keeps it.
Acts in the network namespace of the calling thread.
"""

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from swarm.agent.network import links
from swarm.agent.network.netlink import Netlink

_IPV4 = Path("/proc/sys/net/ipv4")
_SWITCH = _IPV4 / "ip_forward"
_CHANGED_ALONG = ("forwarding", "accept_redirects")


def switch_on(memo: Path) -> None:
    """Have the machine pass packets on; keep in `memo` what was before, unless it did so already."""
    if _SWITCH.read_text().strip() == "1":
        return
    before = {}
    for path in _settings():
        with suppress(FileNotFoundError):  # of an interface that has gone meanwhile
            before[str(path.relative_to(_IPV4))] = path.read_text().strip()
    memo.parent.mkdir(parents=True, exist_ok=True)
    memo.write_text(json.dumps(before))  # first: a crash in between must not lose it
    _SWITCH.write_text("1")


def put_back(memo: Path) -> bool:
    """Put back what `switch_on` found, once all links of ours are gone; return whether that was done.

    Not done, and to be asked again, while others may need it. Without a memo there is nothing to put back.
    """
    try:
        before = json.loads(memo.read_text())
    except (OSError, ValueError):
        return False
    if _SWITCH.read_text().strip() == "1":
        if _others_may_need_it():
            return False
        _SWITCH.write_text("0")
        for name, value in before.items():
            with suppress(OSError):  # of an interface that has gone
                (_IPV4 / name).write_text(value)
    memo.unlink(missing_ok=True)
    return True


def _settings() -> Iterator[Path]:
    for folder in sorted((_IPV4 / "conf").iterdir()):
        yield from (folder / name for name in _CHANGED_ALONG)


def _others_may_need_it() -> bool:
    with Netlink() as host:
        up = [link for link in links.list_links(host) if link.up and link.name != "lo"]
    return len(up) > 1
