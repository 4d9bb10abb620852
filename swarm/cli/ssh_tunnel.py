"""`ssh://[USER@]HOST`: the socket of a node elsewhere, brought here over SSH while a command runs.

Nothing has to run on the other machine but sshd and swarmd.
"""

import asyncio
import sys
import tempfile
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future
from contextlib import AsyncExitStack, ExitStack, contextmanager
from pathlib import Path

import click

from swarm.cli.endpoints import SshEndpoint
from swarm.errors import FailedPrecondition, Unauthenticated, Unavailable
from swarm.machine.errors import AuthRefused, HostKeyRefused, HostKeyUnknown, Unreachable
from swarm.machine.forward import bring_socket
from swarm.machine.personal_ssh import Answers, PasswordWanted, Personal, Stop, reach

END_TIMEOUT_S = 5.0
Opening = Callable[[AsyncExitStack], Awaitable[None]]


@contextmanager
def tunnel(endpoint: SshEndpoint, personal: Personal | None = None) -> Iterator[str]:
    """Yield the path of a socket that leads to the node; a person at a terminal may be asked something.

    Raises FailedPrecondition, Unauthenticated, Unavailable, InvalidArgument.
    """
    stop, answers = Stop(endpoint.host, endpoint.user, endpoint.port), Answers()
    files = personal or Personal()
    with tempfile.TemporaryDirectory(prefix="swarmctl-") as folder:  # mode 0700
        local = Path(folder) / "node.sock"

        async def opening(stack: AsyncExitStack) -> None:
            connection = await reach(files, stop, answers, stack)
            await bring_socket(connection, endpoint.path, local, endpoint.place)

        with ExitStack() as stack:
            while not _is_open(stack, opening, answers):
                pass  # a question was answered: that may help
            yield str(local)


def _is_open(stack: ExitStack, opening: Opening, answers: Answers) -> bool:
    """Try to open the tunnel; ask a person at the terminal what is missing. Return whether it is open."""
    try:
        stack.enter_context(held(opening))
    except HostKeyUnknown as unknown:
        if not _is_terminal():
            raise FailedPrecondition(str(unknown)) from unknown
        click.echo(f"{unknown.host} is a stranger; its host key is {unknown.fingerprint}.", err=True)
        click.confirm("Is that what the host itself shows?", abort=True, err=True)
        answers.fingerprints.add(unknown.fingerprint)
    except PasswordWanted as wanted:
        if not _is_terminal():
            raise Unauthenticated(str(wanted)) from wanted
        asked = f"{wanted.place}'s password"
        answers.passwords[wanted.place] = click.prompt(asked, hide_input=True, err=True)
    except AuthRefused as refused:
        raise Unauthenticated(str(refused)) from refused
    except HostKeyRefused as refused:
        raise FailedPrecondition(str(refused)) from refused
    except Unreachable as error:
        raise Unavailable(str(error)) from error
    else:
        return True
    return False


def _is_terminal() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()


@contextmanager
def held(opening: Opening) -> Iterator[None]:
    """Do something that lasts, in a thread with an event loop of its own; raises what `opening` raises.

    What `opening` entered is left at the end.
    """
    ready: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def hold() -> None:
        end = asyncio.Event()
        async with AsyncExitStack() as stack:
            await opening(stack)
            ready.set_result((asyncio.get_running_loop(), end))
            await end.wait()

    def run() -> None:
        try:
            asyncio.run(hold())
        except BaseException as error:  # noqa: BLE001 it is raised where somebody waits
            if not ready.done():
                ready.set_exception(error)

    # It ends with the process, should somebody press Ctrl-C while it connects.
    thread = threading.Thread(target=run, name="ssh-tunnel", daemon=True)
    thread.start()
    loop, end = ready.result()
    try:
        yield
    finally:
        loop.call_soon_threadsafe(end.set)
        thread.join(END_TIMEOUT_S)
