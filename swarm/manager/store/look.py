"""How the services that others depend on are found in the store."""

from swarm.manager.store.tables import ReadView
from swarm.model.dependencies import Look


def look_at(view: ReadView) -> Look:
    """Return how dependencies are found in `view`."""
    services, tasks = view.services, view.tasks
    return Look(services.get, services.by_name, tasks.get, tasks.by_service, view.nodes.get)
