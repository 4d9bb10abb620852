"""What does a container run, with which environment? The task's wishes laid over the image's. Pure."""

from collections.abc import Mapping, Sequence

from swarm.errors import TaskRejected
from swarm.runtime.base import ContainerConfig
from swarm.runtime.images.base import ImageConfig
from swarm.runtime.processes import signal_number

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def command_line(config: ContainerConfig, image: ImageConfig) -> list[str]:
    """Return the command line; a command of the task's own also puts aside the image's arguments.

    Raises TaskRejected when neither names anything to run.
    """
    line = words(config.command, config.args, image)
    if not line:
        raise TaskRejected(f"neither the service nor the image {config.image} says what to run")
    if not line[0]:
        raise TaskRejected("the command to run is empty")
    if any("\0" in word for word in line):
        raise TaskRejected("the command holds a NUL character")
    return line


def words(command: Sequence[str], args: Sequence[str], image: ImageConfig) -> list[str]:
    """Return a command line, whether it can be run or not."""
    if command:
        return [*command, *args]
    return [*image.entrypoint, *(args or image.command)]


def environment(defaults: Mapping[str, str], *layers: Sequence[str]) -> dict[str, str]:
    """Return the environment: defaults, then each layer over the one before.

    An entry `KEY=VALUE` sets a variable, a bare `KEY` takes it away.
    """
    variables = dict(defaults)
    for layer in layers:
        for entry in layer:
            key, equals, value = entry.partition("=")
            if "\0" in entry or not key:
                raise TaskRejected(f"environment entry {entry!r} is neither KEY=VALUE nor KEY")
            if equals:
                variables[key] = value
            else:
                variables.pop(key, None)
    return variables


def stop_signal(config: ContainerConfig, image: ImageConfig) -> int:
    """Return the number of the signal that asks the container to end; raises TaskRejected for an unknown
    one."""
    try:
        return signal_number(config.stop_signal or image.stop_signal or "SIGTERM")
    except ValueError as error:
        raise TaskRejected(str(error)) from None
