"""`swarmctl stack diff`: what a deploy would change in the specs of services."""

import json
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from typing import Any

import click

from swarm.api.v1 import control_pb2 as c
from swarm.api.v1.specs_pb2 import ServiceSpec
from swarm.cli.compose_files import compose_options
from swarm.cli.connect import Connection, connect
from swarm.cli.flags import FlagCommand
from swarm.cli.plan import ATTEMPTS_MAX
from swarm.cli.stack_build import as_if_built
from swarm.cli.stack_calls import fitting, read, services_of
from swarm.cli.stack_changes import RESOLVE, steps
from swarm.errors import StaleVersion, SwarmError

EXIT_SAME, EXIT_OTHER, EXIT_TROUBLE = 0, 1, 2  # as `diff` has them

Difference = tuple[str, Sequence[str], Sequence[str]]  # a key, its values before and after


@click.command(
    cls=FlagCommand,
    epilog="\b\nExamples:\n"
    "  swarmctl stack diff -c compose.yaml shop\n"
    "  swarmctl stack diff -c compose.yaml --prune shop          # also what would be removed\n"
    "  swarmctl stack diff -c compose.yaml --format json shop\n\n"
    "\b\nExit codes: 0 a deploy would change nothing, 1 it would change what is printed, 2 it would fail.",
)
@click.argument("name", metavar="[STACK]", required=False, default="")
@compose_options
@click.option("--prune", is_flag=True, help="As if deployed with --prune.")
@click.option(
    "--resolve-image",
    "resolve",
    type=click.Choice(RESOLVE),
    default=RESOLVE[0],
    show_default=True,
    help="For which images to ask the registry, as in a deploy.",
)
@click.option("--format", "layout", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.pass_context
def diff(ctx: click.Context, /, name: str, layout: str, **given: Any) -> None:
    """Show what a deploy of Compose files would change, key by key; change nothing.

    --dry-run of `stack deploy` shows what would happen to tasks instead.
    """
    try:
        wanted = read(name, given)
        with connect(ctx.obj) as conn:
            wanted = fitting(conn, wanted)
            for warning in wanted.warnings:
                click.echo(f"Warning: {warning}", err=True)
            answer = _ask(conn, wanted, given)
    except SwarmError as problem:
        click.echo(f"Error: {problem}", err=True)
        ctx.exit(EXIT_TROUBLE)
    if layout == "json":
        click.echo(json.dumps(as_json(answer), indent=4))
    else:
        for line in as_text(answer):
            click.secho(line, fg=_colour(line))
    ctx.exit(EXIT_OTHER if answer.specs or answer.made or answer.removed else EXIT_SAME)


def _ask(conn: Connection, wanted: Any, given: dict[str, Any]) -> c.PlanChangesResponse:
    """Return what would change; asked again when managers, who write to services as well, were faster."""
    attempts = 0
    while True:
        attempts += 1
        planned = steps(
            wanted, services_of(conn, wanted.name), prune=given["prune"], resolve=given["resolve"]
        )
        planned = list(as_if_built(conn, wanted.builds, planned))
        request = c.PlanChangesRequest(changes=[one.change for one in planned], with_specs=True)
        try:
            answer: c.PlanChangesResponse = conn.control.PlanChanges(request)
        except StaleVersion:
            if attempts == ATTEMPTS_MAX:
                raise
        else:
            return answer


def as_text(answer: c.PlanChangesResponse) -> Iterator[str]:
    """Yield the lines for people, much as `diff -u` has them."""
    for spec in answer.specs:
        yield f"--- {spec.service_name if spec.HasField('before') else '/dev/null'}"
        yield f"+++ {spec.service_name if spec.HasField('after') else '/dev/null'}"
        for key, before, after in differences(spec.before, spec.after):
            yield f"@@ {key} @@"
            yield from _hunk(before, after)
    for what in answer.removed:
        yield f"-{what}"
    for what in answer.made:
        yield f"+{what}"


def as_json(answer: c.PlanChangesResponse) -> dict[str, Any]:
    """Return an answer for scripts."""
    return {
        "Services": [
            {
                "Name": spec.service_name,
                "Change": _kind(spec),
                "Keys": [
                    {"Key": key, "Before": list(before), "After": list(after)}
                    for key, before, after in differences(spec.before, spec.after)
                ],
            }
            for spec in answer.specs
        ],
        "Made": list(answer.made),
        "Removed": list(answer.removed),
    }


def differences(before: ServiceSpec, after: ServiceSpec) -> list[Difference]:
    """Return the keys that differ with their values, in the order of the keys."""
    from swarm.model.spec_changes import entries

    old, new = entries(before), entries(after)
    return [
        (key, old.get(key, ()), new.get(key, ()))
        for key in sorted({*old, *new})
        if old.get(key) != new.get(key)
    ]


def _hunk(before: Sequence[str], after: Sequence[str]) -> Iterator[str]:
    for kind, low, high, start, end in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        for item in before[low:high]:
            yield from (f"{' ' if kind == 'equal' else '-'}{line}" for line in item.split("\n"))
        if kind != "equal":
            for item in after[start:end]:
                yield from (f"+{line}" for line in item.split("\n"))


def _kind(spec: c.PlannedSpec) -> str:
    if not spec.HasField("before"):
        return "create"
    return "update" if spec.HasField("after") else "remove"


def _colour(line: str) -> str | None:
    return {"-": "red", "+": "green", "@": "cyan"}.get(line[:1])
