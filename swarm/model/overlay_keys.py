"""Keys of encrypted networks: what two nodes share, and when the cluster needs another one. Pure."""

import hmac
from collections.abc import Iterable
from hashlib import sha256

from swarm.api.v1.objects_pb2 import Cluster, Network, OverlayKey
from swarm.model import defaults
from swarm.model.networks import is_encrypted
from swarm.timestamps import nanoseconds, timestamp

SECRET_BYTES = 32


def shared_key(cluster: Cluster | None, node_id: str, other_id: str) -> bytes:
    """Return what two nodes, in whatever order, share and no third one knows; empty while there is no key.

    WireGuard mixes it into every session beside what the nodes agree on: alone it opens nothing.
    """
    if cluster is None or not cluster.overlay_key.secret:
        return b""
    pair = "\0".join(("swarm overlay", *sorted((node_id, other_id))))
    return hmac.digest(cluster.overlay_key.secret, pair.encode(), sha256)


def due_ns(cluster: Cluster, networks: Iterable[Network]) -> int | None:
    """Return when the cluster needs another key, in ns since the epoch; 0: at once, None: never."""
    if not any(is_encrypted(one.spec) for one in networks):
        return None
    key = cluster.overlay_key
    if not key.secret or key.rotation != cluster.spec.overlay_key_rotation:
        return 0
    return nanoseconds(key.created_at) + defaults.overlay_key_period_ns(cluster.spec)


def next_key(cluster: Cluster, secret: bytes, now_ns: int) -> OverlayKey:
    """Return the key that follows the cluster's present one."""
    return OverlayKey(
        secret=secret,
        version=cluster.overlay_key.version + 1,
        created_at=timestamp(now_ns),
        rotation=cluster.spec.overlay_key_rotation,
    )
