"""`swarmctl service create|update|scale|plan|rebalance`: what changes services."""

from typing import Any

import click

from swarm.api.v1 import control_pb2 as c
from swarm.api.v1 import objects_pb2 as o
from swarm.api.v1.specs_pb2 import ServiceSpec
from swarm.cli import objects
from swarm.cli.autoscale_options import (
    apply_autoscale,
    autoscale_options,
    autoscale_update_options,
    keep_count,
)
from swarm.cli.connect import Connection, connect
from swarm.cli.container_options import CAPABILITIES
from swarm.cli.exec import exec_command
from swarm.cli.flags import FlagCommand
from swarm.cli.job_options import MODES, change_mode, job_options, set_mode, set_replicas
from swarm.cli.logs import logs_command
from swarm.cli.plan import dry_run_options, show_plan, show_service_plan
from swarm.cli.rollout import EXIT_CODES, change_service, is_rolled_back, roll_back
from swarm.cli.rollout import settle as _settle
from swarm.cli.service_lists import ADDS, ENV_FILE, LISTS, REMOVES, add_lists, many, remove_lists
from swarm.cli.service_options import apply_single, spec_options, words
from swarm.errors import InvalidArgument, NotFound

_WITH_ROLLBACK = frozenset({"ref", "rollback", "detach", "quiet", "timeout", "dry_run", "layout"})


@click.command(
    cls=FlagCommand,
    context_settings={"allow_interspersed_args": False},
    epilog="\b\nExamples:\n"
    "  swarmctl service create --name web --replicas 3 web:1\n"
    "  swarmctl service create --name agent --mode global agent:2\n"
    "  swarmctl service create --name fill --mode replicated-job --replicas 100 --max-concurrent 5 fill:1\n"
    "  swarmctl service create --name backup --mode cron --schedule '30 2 * * *' \\\n"
    "      --timezone Europe/Berlin --concurrency-policy forbid backup:1\n"
    "  swarmctl service create --name db --constraint node.labels.disk==ssd --limit-memory 512m db:1\n"
    "  swarmctl service create --name web --depends-on db:healthy --depends-on setup:completed web:1\n"
    "  swarmctl service create --name train --generic-resource gpu=2 --affinity 'service!=train' train:1\n"
    "  swarmctl service create --name db --secret password --config source=my.cnf,target=/etc/my.cnf db:1\n"
    "  swarmctl service create --name web --network shop --network name=db,alias=web-of-db web:1\n"
    "  swarmctl service create --name shop --route host=shop.example.org,path=/,port=8080 shop:1\n"
    "  swarmctl service create --name learn --gpus 2 learn:1\n"
    "  swarmctl service create --name shop --health-http :8080/health --health-start-period 1m shop:1\n"
    "  swarmctl service create --name shop --priority 10 --preempt --reserve-memory 512m shop:1\n"
    "  swarmctl service create --name web --replicas-min 2 --replicas-max 20 --scale-on cpu=70 \\\n"
    "      --reserve-cpu 0.5 web:1\n"
    "  swarmctl service create --name serial --device /dev/ttyUSB0:/dev/serial:rw serial:1\n"
    "  swarmctl service create --name vpn --cap-drop ALL --cap-add NET_ADMIN --init vpn:1\n"
    "  swarmctl service create --name search --ulimit nofile=65536 --sysctl net.core.somaxconn=999 search:1",
)
@click.argument("image")
@click.argument("args", nargs=-1, type=click.UNPROCESSED)
@click.option("--name", default="", help="Name of the service (default: made up).")
@click.option("--mode", type=click.Choice(MODES), default="replicated", show_default=True)
@click.option("--replicas", type=int, help="Number of tasks, or of completions of a job (default 1).")
@job_options
@autoscale_options
@many(*LISTS, *CAPABILITIES, ENV_FILE)
@spec_options
@dry_run_options
@click.pass_context
def create(ctx: click.Context, /, image: str, args: tuple[str, ...], **given: Any) -> None:
    """Create a service that runs IMAGE, with ARGS in place of the image's command."""
    spec = new_spec(image, args, given)
    with connect(ctx.obj) as conn:
        request = c.CreateServiceRequest(spec=spec, skip_image_resolution=given["no_resolve_image"])
        if given["dry_run"]:
            ctx.exit(show_plan(conn, [c.PlannedChange(create_service=request)], given["layout"]))
        answer = conn.control.CreateService(request)
        _warn(answer.warnings)
        click.echo(answer.service.id)
        ctx.exit(_settle(conn, answer.service.id, given))


def new_spec(image: str, args: tuple[str, ...], given: dict[str, Any]) -> ServiceSpec:
    """Return the spec that `service create` with these options asks for."""
    from swarm.cli.made_up import made_up_name

    spec = ServiceSpec()
    spec.annotations.name = given["name"] or made_up_name()
    spec.task.container.image = image
    spec.task.container.args.extend(args)
    set_mode(spec, given)
    apply_autoscale(spec, given)
    apply_single(spec, given)
    add_lists(spec, given, "")
    _registry_auth(spec, given)
    return spec


def _warn(warnings: Any) -> None:
    for warning in warnings:
        click.echo(f"Warning: {warning}", err=True)


def _registry_auth(spec: ServiceSpec, given: dict[str, Any]) -> None:
    if given["with_registry_auth"]:
        from swarm.cli.registry_auth import credentials

        try:
            spec.task.container.registry_auth.CopyFrom(credentials(spec.task.container.image))
        except NotFound as problem:  # as with Docker: the flag is for every image, the registry may be open
            click.echo(f"Warning: {problem}", err=True)


@click.command(
    cls=FlagCommand,
    epilog="\b\nExamples:\n"
    "  swarmctl service update --image web:2 --update-order start-first web\n"
    "  swarmctl service update --env-add DEBUG=1 --env-rm OLD web\n"
    "  swarmctl service update --secret-rm key --secret-add source=key2,target=key web\n"
    "  swarmctl service update --route-add host=shop.example.org,port=80 --route-rm old.example.org/ web\n"
    "  swarmctl service update --force web      # replace every task\n"
    "  swarmctl service update --priority 10 web   # replaces no task\n"
    "  swarmctl service update --scale-on cpu=60 --replicas-max 30 web   # or --scale-off\n"
    "  swarmctl service update --update-canary 1 --image web:3 web   # then promote or rollback\n\n"
    + EXIT_CODES,
)
@click.argument("ref", metavar="SERVICE")
@click.option("--image", help="New image.")
@click.option("--args", help="New arguments in place of the image's command.")
@click.option("--replicas", type=int, help="New number of tasks, or of completions of a job.")
@click.option("--force", is_flag=True, help="Replace every task although nothing changed; run a job again.")
@click.option("--rollback", is_flag=True, help="Go back to the previous spec; goes with no other change.")
@job_options
@autoscale_update_options
@many(*ADDS, *REMOVES, *CAPABILITIES)
@spec_options
@dry_run_options
@click.pass_context
def update(ctx: click.Context, /, ref: str, **given: Any) -> None:
    """Change a service; running tasks are replaced as its update policy says."""
    if given["rollback"]:
        _refuse_other_changes(ctx)
    with connect(ctx.obj) as conn:
        if given["rollback"]:
            ctx.exit(roll_back(conn, ref, given))
        if given["dry_run"]:

            def planned(found: o.Service, _: str) -> c.PlannedChange:
                return c.PlannedChange(update_service=_update_request(found, given))

            ctx.exit(show_service_plan(conn, [ref], planned, given["layout"]))
        changed = change_service(conn, ref, lambda found: _send(conn, _update_request(found, given)))
        click.echo(ref)
        ctx.exit(_settle(conn, changed.id, given, rollback=is_rolled_back(changed)))


def _refuse_other_changes(ctx: click.Context) -> None:
    """Whoever goes back and changes something at once would not get what they asked for."""
    for option in ctx.command.params:
        said = ctx.get_parameter_source(option.name or "") is click.core.ParameterSource.COMMANDLINE
        if said and option.name not in _WITH_ROLLBACK:
            raise click.UsageError(f"{option.opts[-1]} cannot go with --rollback: it goes back to what was")


def _update_request(found: o.Service, given: dict[str, Any]) -> c.UpdateServiceRequest:
    request = c.UpdateServiceRequest(id=found.id, version=found.meta.version.index)
    request.skip_image_resolution = given["no_resolve_image"] or given["image"] is None
    request.spec.CopyFrom(found.spec)
    _change(request.spec, given)
    keep_count(request.spec, given, found)
    return request


def _send(conn: Connection, request: c.UpdateServiceRequest) -> o.Service:
    answer = conn.control.UpdateService(request)
    _warn(answer.warnings)
    changed: o.Service = answer.service
    return changed


def _change(spec: ServiceSpec, given: dict[str, Any]) -> None:
    if given["image"] is not None:
        spec.task.container.image = given["image"]
        spec.task.container.image_digest = ""
    if given["args"] is not None:
        del spec.task.container.args[:]
        spec.task.container.args.extend(words(given["args"], "--args"))
    change_mode(spec, given)
    apply_autoscale(spec, given)
    if given["force"]:
        spec.task.force_update += 1
    apply_single(spec, given)
    remove_lists(spec, given)
    add_lists(spec, given, "_add")
    _registry_auth(spec, given)


@click.command(cls=FlagCommand, epilog="\b\nExample:\n  swarmctl service scale web=50 worker=5")
@click.argument("pairs", metavar="SERVICE=REPLICAS...", nargs=-1, required=True)
@click.option("-d", "--detach", is_flag=True, help="Return at once instead of waiting for convergence.")
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
@click.option("--timeout", help="Exit 1 if the services have not converged by then, e.g. 2m.")
@dry_run_options
@click.pass_context
def scale(ctx: click.Context, /, pairs: tuple[str, ...], **given: Any) -> None:
    """Change the number of replicas of services."""
    wanted = dict(map(_scale_pair, pairs))
    with connect(ctx.obj) as conn:
        if given["dry_run"]:

            def planned(found: o.Service, ref: str) -> c.PlannedChange:
                return c.PlannedChange(update_service=_scale_request(found, wanted[ref]))

            ctx.exit(show_service_plan(conn, wanted, planned, given["layout"]))
        scaled: list[o.Service] = []

        def act(ref: str) -> str:
            replicas = wanted[ref]
            scaled.append(
                change_service(conn, ref, lambda found: _send(conn, _scale_request(found, replicas)))
            )
            return f"{ref} scaled to {replicas}"

        code = objects.each(wanted, act)
        codes = [_settle(conn, one.id, given, rollback=is_rolled_back(one)) for one in scaled]
        ctx.exit(max([code, *codes]))


def _scale_request(found: o.Service, replicas: int) -> c.UpdateServiceRequest:
    request = c.UpdateServiceRequest(id=found.id, version=found.meta.version.index)
    request.skip_image_resolution = True
    request.spec.CopyFrom(found.spec)
    set_replicas(request.spec, replicas)
    return request


def _scale_pair(pair: str) -> tuple[str, int]:
    ref, _, number = pair.partition("=")
    if not ref or not number.removeprefix("-").isdigit():
        raise InvalidArgument(f'scale "{pair}": write SERVICE=REPLICAS, e.g. web=5')
    return ref, int(number)


@click.command(
    cls=FlagCommand,
    epilog="\b\nExamples:\n"
    "  swarmctl service plan web\n"
    "  swarmctl service update --dry-run --image web:2 web   # what a change would do",
)
@click.argument("refs", metavar="SERVICE...", nargs=-1, required=True)
@click.option("--format", "layout", type=click.Choice(["table", "json"]), default="table")
@click.pass_context
def plan(ctx: click.Context, refs: tuple[str, ...], layout: str) -> None:
    """Show what is still to be done for services: what starts, stops and moves, and what does not fit.

    Exit code 0: everything fits, or nothing is to be done; 5: something does not fit.
    """
    with connect(ctx.obj) as conn:
        ctx.exit(show_plan(conn, (), layout, refs))


@click.command(
    cls=FlagCommand,
    epilog="\b\nExamples:\n"
    "  swarmctl service rebalance --dry-run web\n"
    "  swarmctl service rebalance --max-moves 5 web worker\n"
    "  swarmctl service update --rebalance auto web   # from now on by itself",
)
@click.argument("refs", metavar="[SERVICE...]", nargs=-1)
@click.option("--all", is_flag=True, help="Every replicated service, one after another.")
@click.option(
    "--max-moves", type=click.IntRange(min=0), default=0, help="Move no more (0: what is needed, up to 500)."
)
@click.option("-d", "--detach", is_flag=True, help="Return at once instead of waiting until it is done.")
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
@click.option("--timeout", default="", help="Exit 1 if it is not done by then, e.g. 2m; it goes on.")
@dry_run_options
@click.pass_context
def rebalance(ctx: click.Context, /, refs: tuple[str, ...], **given: Any) -> None:
    """Move as few tasks as needed to spread services as they would be placed now.

    Tasks move as the service's update policy says: so many at a time, with its delay, and in its order. An
    update stops the moves; what has moved stays. Exit code 1: stopped, or not possible now.
    """
    from swarm.cli.rebalance import rebalance as run

    with connect(ctx.obj) as conn:
        ctx.exit(run(conn, refs, given))


execute = exec_command("service", "SERVICE[.SLOT]", "web")
logs = logs_command("service", "SERVICE|TASK", "web")
