"""Is a machine the one that it was? Keys of SSH servers, pinned for each machine in a file of its own."""

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from swarm.machine.endpoint import Hop
from swarm.machine.errors import HostKeyRefused, HostKeyUnknown


class Trust(StrEnum):
    """Who is trusted at the first meeting. A key that changed is refused always."""

    STRICT = "strict"  # only whose key is on record, here or in ~/.ssh/known_hosts
    ASK = "ask"  # a person compares the fingerprint; without a terminal this is `strict`
    ACCEPT_NEW = "accept-new"


@dataclass(frozen=True, slots=True)
class HostKeyPolicy:
    """Whom to trust at the first meeting; `fingerprint` (`SHA256:…`) was confirmed by somebody."""

    trust: Trust = Trust.ASK
    fingerprint: str = ""


@dataclass(frozen=True, slots=True)
class HostKey:
    """A public key: `algorithm` and its base64 text, as in `known_hosts`."""

    algorithm: str
    text: str

    @property
    def fingerprint(self) -> str:
        """What `ssh-keygen -l` shows."""
        digest = hashlib.sha256(base64.b64decode(self.text)).digest()
        return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def check_key(hop: Hop, shown: HostKey, known: tuple[HostKey, ...], policy: HostKeyPolicy) -> None:
    """Return when a key may be trusted and pinned; raises HostKeyRefused with what to do."""
    if shown in known:
        return
    if known:
        on_record = ", ".join(key.fingerprint for key in known)
        raise HostKeyRefused(
            f"{hop}: the host key has CHANGED: on record is {on_record}, the machine shows "
            f"{shown.fingerprint} "
            f"({shown.algorithm}). It was set up anew, or somebody is in between. Nothing was sent. "
            "When you "
            "know why, remove the old key: swarmctl machine trust --forget NAME"
        )
    if policy.fingerprint:
        if shown.fingerprint != policy.fingerprint:
            raise HostKeyRefused(
                f"{hop}: the host key is {shown.fingerprint}, not {policy.fingerprint}: this is another "
                "machine"
            )
        return
    if policy.trust is not Trust.ACCEPT_NEW:
        raise HostKeyUnknown(
            f"{hop}: the host key is not known: {shown.fingerprint} ({shown.algorithm}). Compare it with "
            "`ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` on the machine, then add "
            f"--host-key {shown.fingerprint}, or trust any new machine with --host-key-policy accept-new",
            str(hop),
            shown.fingerprint,
        )


def parse_known_hosts(text: str) -> dict[str, tuple[HostKey, ...]]:
    """Return keys by place (`HOST` or `[HOST]:PORT`); hashed and marked lines are left out."""
    found: dict[str, tuple[HostKey, ...]] = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) < 3 or words[0][0] in "#@|":
            continue
        for place in words[0].split(","):
            found[place] = (*found.get(place, ()), HostKey(words[1], words[2]))
    return found


def known_hosts_text(keys: Mapping[str, tuple[HostKey, ...]]) -> str:
    """Return the file that `parse_known_hosts` reads."""
    return "".join(
        f"{place} {key.algorithm} {key.text}\n" for place, found in sorted(keys.items()) for key in found
    )
