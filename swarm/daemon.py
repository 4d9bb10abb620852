"""`swarmd`: the daemon of a node."""

import asyncio
import contextlib
import ctypes
import functools
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from swarm.config import Settings, load_settings, settings_options, split_address
from swarm.errors import FailedPrecondition, SwarmError
from swarm.old_python import repair_timeouts

if TYPE_CHECKING:
    import grpc

    from swarm.node.node import Node
    from swarm.telemetry.metrics import Metrics

EXIT_REFUSED = 1
STOP_GRACE_S = 1.0
M_ARENA_MAX = -8  # malloc.h


class _Late(click.Group):
    """Loads `debug` when it is asked for: the daemon does without it."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands."""
        return sorted([*super().list_commands(ctx), "debug"])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command."""
        if cmd_name != "debug":
            return super().get_command(ctx, cmd_name)
        from swarm.debug.cli import debug

        return debug


@click.group(cls=_Late, invoke_without_command=True, context_settings={"auto_envvar_prefix": None})
@settings_options
@click.pass_context
def main(context: click.Context, /, config: Path | None, **flags: Any) -> None:
    """Run the daemon of a node, in the foreground, until SIGTERM. Containers live on without it."""
    context.obj = (config, flags)
    if context.invoked_subcommand is None:
        _guarded(lambda: run(_settings(config, flags)))


@main.command()
@settings_options
@click.pass_obj
def cleanup(outer: tuple[Path | None, dict[str, Any]], /, config: Path | None, **flags: Any) -> None:
    """Remove every container, mount, cgroup and namespace of a node whose daemon does not run.

    What the node knows of its cluster stays: started again, it runs its tasks anew.
    """
    given = {**outer[1], **{name: value for name, value in flags.items() if value is not None}}
    _guarded(lambda: asyncio.run(_cleanup(_settings(config or outer[0], given))))


def _settings(config: Path | None, flags: dict[str, Any]) -> Settings:
    return load_settings(flags, os.environ, config)


def _guarded(action: Callable[[], None]) -> None:
    """Do it; end the program with one line when it is refused."""
    repair_timeouts()
    _load_structlog()
    try:
        action()
    except SwarmError as error:
        click.echo(f"swarmd: {error}", err=True)
        sys.exit(EXIT_REFUSED)


def _load_structlog() -> None:
    """Load it without rich, which would draw tracebacks that we never print: 4 MB, a tenth of the start."""
    if "structlog" in sys.modules or "rich" in sys.modules:
        return
    sys.modules["rich"] = None  # type: ignore[assignment]
    try:
        import structlog  # noqa: F401
    finally:
        del sys.modules["rich"]


def run(settings: Settings) -> None:
    """Be the daemon of a node until SIGTERM or SIGINT; raises FailedPrecondition when that cannot be."""
    from swarm.node.level import check_level
    from swarm.telemetry.log import configure_logging

    _limit_arenas()
    # gRPC's core writes to stderr by itself, also about every stranger that fails a handshake.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    configure_logging(settings.log_level, settings.log_format)
    with _folders(settings):
        check_level(settings.state_dir)
        asyncio.run(_serve(settings))


def _limit_arenas() -> None:
    """Let all threads allocate from two heaps: gRPC's threads would each keep one, 4 MB on a worker."""
    with contextlib.suppress(AttributeError, OSError):  # a C library other than glibc
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, 2)


async def _cleanup(settings: Settings) -> None:
    from swarm.node.machine import remove_everything
    from swarm.telemetry.log import configure_logging

    configure_logging(settings.log_level, settings.log_format)
    with _folders(settings):
        await remove_everything(settings)


@contextlib.contextmanager
def _folders(settings: Settings) -> Iterator[None]:
    """Own the node's folders: exactly one daemon at a time."""
    from swarm.node.lock import lock_folder

    try:
        settings.state_dir.mkdir(mode=0o711, parents=True, exist_ok=True)
        settings.run_dir.mkdir(mode=0o755, parents=True, exist_ok=True)
        settings.socket.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    except OSError as error:
        raise FailedPrecondition(f"cannot make {error.filename}: {error.strerror}") from error
    with lock_folder(settings.lock_file):
        yield


def _hang_up_reaches_children() -> None:
    """Let commands in containers end when whoever typed them leaves, also under `nohup swarmd`.

    What this process ignores, all programs that it starts would ignore too; a handler is not inherited.
    """
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda _number, _frame: None)


async def _serve(settings: Settings) -> None:
    import structlog

    from swarm.clock import SystemClock
    from swarm.model.compatibility import swarm_version
    from swarm.node.node import Node
    from swarm.service_manager import ServiceManager

    log = structlog.get_logger("swarm.daemon")
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    _hang_up_reaches_children()
    service_manager = ServiceManager()
    metrics = functools.cache(_make_metrics)
    node = Node(settings, SystemClock(), metrics)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(node.stop)
        await node.resume()
        await stack.enter_async_context(_telemetry(settings, node, metrics))
        await stack.enter_async_context(_local_listener(settings, node))
        log.info(
            "daemon.started", version=swarm_version(), pid=os.getpid(), state_dir=str(settings.state_dir)
        )
        service_manager.tell("READY=1")
        broken = asyncio.create_task(node.wait_broken(), name="node-broken")
        stopped = asyncio.create_task(stopping.wait(), name="daemon-stopping")
        await asyncio.wait({broken, stopped}, return_when=asyncio.FIRST_COMPLETED)
        log.info("daemon.stopping")
        service_manager.tell("STOPPING=1")
        node.end_streams()
        if broken.done():
            broken.result()
    log.info("daemon.stopped")


def _make_metrics() -> "Metrics":
    """Return the registry; the library, 3 MB, is loaded for managers and for nodes that are scraped."""
    from swarm.telemetry.metrics import Metrics

    return Metrics()


@contextlib.asynccontextmanager
async def _telemetry(
    settings: Settings, node: "Node", metrics: "Callable[[], Metrics]"
) -> AsyncIterator[None]:
    """Serve /metrics and /healthz; a taken port is no reason not to run containers."""
    import structlog

    from swarm.telemetry.server import TelemetryServer

    if not settings.metrics_addr:
        yield
        return

    async def page() -> bytes:
        return metrics().render(await node.sample())

    host, port = split_address(settings.metrics_addr)
    server = TelemetryServer(host, port, page, node.health)
    try:
        await server.start()
    except OSError as error:
        log = structlog.get_logger("swarm.daemon")
        log.error("daemon.metrics_not_served", addr=settings.metrics_addr, reason=str(error))  # noqa: TRY400
    try:
        yield
    finally:
        await server.stop()


@contextlib.asynccontextmanager
async def _local_listener(settings: Settings, node: "Node") -> AsyncIterator[None]:
    """Serve Local and Control on the Unix socket, which only root (or this user) may open."""
    import grpc

    from swarm.api.status import ErrorInterceptor
    from swarm.api.v1.containers_pb2_grpc import add_ContainersServicer_to_server
    from swarm.api.v1.control_pb2_grpc import add_LocalServicer_to_server
    from swarm.node.control_switch import ControlSwitch
    from swarm.node.servicer import LocalServicer
    from swarm.security.authorization import AuthorizationInterceptor, local_caller
    from swarm.security.tls import SERVER_OPTIONS

    interceptors = [ErrorInterceptor(), AuthorizationInterceptor(local_caller, note=node.note_call)]
    server = grpc.aio.server(interceptors=interceptors, options=SERVER_OPTIONS)
    add_LocalServicer_to_server(LocalServicer(node), server)
    refusal = node.control_refusal
    containers = ControlSwitch(
        node.containers_servicer, refusal, "Containers", add_ContainersServicer_to_server
    )
    server.add_generic_rpc_handlers((ControlSwitch(node.control_servicer, refusal), containers))
    _bind(server, settings.socket)
    await server.start()
    try:
        yield
    finally:
        await server.stop(STOP_GRACE_S)
        settings.socket.unlink(missing_ok=True)


def _bind(server: "grpc.aio.Server", path: Path) -> None:
    """Listen at `path`, closed to others from its first moment on."""
    from swarm.node.lock import remove_stale_socket

    remove_stale_socket(path)
    before = os.umask(0o177)
    try:
        server.add_insecure_port(f"unix:{path}")
    except RuntimeError as error:
        raise FailedPrecondition(f"cannot listen on {path}: {error}") from error
    finally:
        os.umask(before)


if __name__ == "__main__":
    main()
