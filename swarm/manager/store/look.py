"""How the services that others depend on are found in the store."""

from swarm.manager.store.tables import ReadView
from swarm.model.dependencies import Look


def look_at(view: ReadView) -> Look:
    """Return how dependencies are found in `view`."""
    return Look(view.services.get, view.services.by_name, view.tasks.by_service, view.nodes.get)
