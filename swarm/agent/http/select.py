"""Which HTTP proxy does this node get?"""

from swarm.agent.http.base import HttpProxy, NoHttpProxy
from swarm.agent.http.proxy import NodeHttpProxy
from swarm.agent.network.select import has_namespaces
from swarm.agent.overlay.layout import OverlayLayout
from swarm.clock import SystemClock
from swarm.config import Settings


def open_http_proxy(settings: Settings) -> HttpProxy:
    """Return the HTTP proxy of this node: none where tasks share the node's own network."""
    if not has_namespaces(settings):
        return NoHttpProxy()
    run_dir = settings.run_dir.absolute()
    return NodeHttpProxy(run_dir, OverlayLayout(run_dir).router, SystemClock())
