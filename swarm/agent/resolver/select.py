"""Which name service does this node get?"""

from ipaddress import IPv4Network

from swarm.agent.network.layout import GATEWAY, Layout
from swarm.agent.network.select import has_namespaces
from swarm.agent.resolver.base import NoResolver, Resolver
from swarm.agent.resolver.process import ProcessResolver
from swarm.config import Settings


def open_resolver(settings: Settings) -> Resolver:
    """Return the name service of this node: none where tasks share the node's own network.

    `open_network` has found the settings to be right.
    """
    if not has_namespaces(settings):
        return NoResolver()
    layout = Layout(settings.run_dir.absolute(), IPv4Network(settings.node_subnet))
    return ProcessResolver(layout.run_dir, layout.router, str(GATEWAY), layout.namespace)
