"""Which drivers of secrets does this manager have?

Besides `vault` there are entry points of the group `swarm.secret_drivers` (NAME = "package.module:make",
where `make()` returns a Driver, see question.py), and plugins of Docker's protocol. A driver runs inside a
manager: it must not block.
"""

from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path

from swarm.clock import Clock
from swarm.errors import TaskRejected
from swarm.manager.secrets.plugin import SecretPlugin
from swarm.manager.secrets.question import Driver
from swarm.manager.secrets.vault import Vault
from swarm.model.secret_drivers import VAULT

GROUP = "swarm.secret_drivers"
PLUGIN_DIRECTORIES = (Path("/run/docker/plugins"),)

FindPoints = Callable[[], Sequence[metadata.EntryPoint]]


def _entry_points() -> Sequence[metadata.EntryPoint]:
    return tuple(metadata.entry_points(group=GROUP))


class Drivers:
    """The drivers of one manager, made when they are first needed."""

    def __init__(
        self,
        clock: Clock,
        directories: Sequence[Path] = PLUGIN_DIRECTORIES,
        entry_points: FindPoints = _entry_points,
    ) -> None:
        """Plugins have their sockets in `directories`: NAME.sock or NAME/NAME.sock."""
        self._clock = clock
        self._directories = tuple(directories)
        self._entry_points = entry_points
        self._made: dict[str, Driver] = {}

    def find(self, name: str) -> Driver:
        """Return a driver; raises TaskRejected when this manager has none of that name."""
        if name not in self._made:
            plugin = self._plugin(name)
            if plugin is not None:
                return plugin  # not kept: its socket may be another one by the next time
            self._made[name] = self._make(name)
        return self._made[name]

    async def close(self) -> None:
        """Close connections."""
        made, self._made = self._made, {}
        for driver in made.values():
            await driver.close()

    def _make(self, name: str) -> Driver:
        if name == VAULT:
            return Vault(self._clock)
        points = self._entry_points()
        for point in points:
            if point.name == name:
                return _loaded(point)
        known = ", ".join(sorted({VAULT, *(point.name for point in points)}))
        raise TaskRejected(
            f"this manager has no secret driver {name}: it has {known}, and there is no plugin socket "
            f"{self._directories[0] / f'{name}.sock'}"
        )

    def _plugin(self, name: str) -> Driver | None:
        if name != Path(name).name or name == VAULT:
            return None
        for directory in self._directories:
            for path in (directory / f"{name}.sock", directory / name / f"{name}.sock"):
                if path.is_socket():
                    return SecretPlugin(name, path)
        return None


def _loaded(point: metadata.EntryPoint) -> Driver:
    try:
        driver: Driver = point.load()()
    except Exception as error:  # noqa: BLE001 -- whatever other people's code raises must not end the manager
        raise TaskRejected(
            f"the secret driver {point.name} cannot be loaded: {type(error).__name__}: {error}"
        ) from None
    return driver
