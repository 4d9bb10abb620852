"""The numbers of encrypted networks, for Prometheus."""

from collections.abc import Iterator, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

_GAUGES = {
    "peers": "Other nodes that this one shares encrypted networks with, and has the keys of.",
    "stale_peers": "Those of them that did not answer for three minutes.",
    "last_handshake_seconds": "When this node and another agreed on new keys last, since the epoch.",
}
_COUNTERS = {
    "received_bytes": "Encrypted bytes that came from nodes that are peers now.",
    "sent_bytes": "Encrypted bytes that went to nodes that are peers now.",
}


def tunnel_families(counted: Mapping[str, float]) -> Iterator[Metric]:
    """Yield what the tunnel of the node counted; nothing while there is none."""
    if not counted:
        return
    for name, text in _GAUGES.items():
        yield GaugeMetricFamily(f"swarm_tunnel_{name}", text, value=counted.get(name, 0))
    for name, text in _COUNTERS.items():
        yield CounterMetricFamily(f"swarm_tunnel_{name}", text, value=counted.get(name, 0))
