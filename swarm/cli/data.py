"""`swarmctl secret` and `swarmctl config`: data for containers."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import click

from swarm.api.v1 import control_pb2 as c
from swarm.api.v1 import objects_pb2 as o
from swarm.api.v1.specs_pb2 import ConfigSpec, SecretSpec
from swarm.cli import objects, parse
from swarm.cli.connect import Connection, connect
from swarm.errors import InvalidArgument
from swarm.model.limits import CONFIG_BYTES, SECRET_BYTES

COLUMNS = (("ID", "ID"), ("NAME", "Name"), ("CREATED", "CreatedAt"), ("UPDATED", "UpdatedAt"))
SECRET_COLUMNS = (*COLUMNS[:2], ("DRIVER", "Driver"), *COLUMNS[2:])  # always empty: no drivers yet
FILTERS = ("id", "name", "label")


class Noun:
    """What is different between secrets and configs: the names of requests and of their fields."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.title = name.capitalize()

    def ask(self, conn: Connection, verb: str, **fields: Any) -> Any:
        """Send e.g. GetSecret(ref=…) and return the answer."""
        many = "s" if verb == "List" else ""
        request = getattr(c, f"{verb}{self.title}{many}Request")(**fields)
        return getattr(conn.control, f"{verb}{self.title}{many}")(request)

    def get(self, conn: Connection, ref: str) -> o.Secret | o.Config:
        """Return one object."""
        found: o.Secret | o.Config = getattr(self.ask(conn, "Get", ref=ref), self.name)
        return found

    def spec(self, name: str, data: bytes) -> SecretSpec | ConfigSpec:
        """Return the spec of a new object."""
        spec = SecretSpec(secret_data=data) if self.name == "secret" else ConfigSpec(data=data)
        spec.annotations.name = name
        return spec


@click.group()
def secret() -> None:
    """Secrets: data that only the containers of services get to see."""


@click.group()
def config() -> None:
    """Configs: data for the containers of services, which people may see as well."""


def read_data(source: str, noun: str) -> bytes:
    """Return the content of a file, of standard input for `-`; raises InvalidArgument."""
    limit = SECRET_BYTES if noun == "secret" else CONFIG_BYTES
    try:
        data = _read(sys.stdin.buffer if source == "-" else None, source, limit.value + 1)
    except OSError as error:
        raise InvalidArgument(f"cannot read {source}: {error.strerror}") from None
    if not data:
        where = "standard input" if source == "-" else source
        raise InvalidArgument(f"{where} is empty: a {noun} needs at least one byte")
    for problem in limit.exceeded(source, len(data)):
        raise InvalidArgument(problem.replace(f"{len(data)} bytes", f"more than {limit.value} bytes", 1))
    return data


def _read(stream: BinaryIO | None, source: str, most: int) -> bytes:
    if stream is not None:
        if stream.isatty():
            click.echo("Reading from the terminal; end with Ctrl-D.", err=True)
        return stream.read(most)
    with Path(source).open("rb") as opened:
        return opened.read(most)


def _add_create(group: click.Group, noun: Noun, epilog: str) -> None:
    @group.command(
        "create",
        epilog=epilog,
        help=f"Keep the content of FILE (-: standard input) as {noun.name} NAME.",
    )
    @click.argument("name")
    @click.argument("file", metavar="FILE|-")
    @click.option("-l", "--label", "labels", multiple=True, help="Label, KEY=VALUE.")
    @click.option(
        "--template-driver", type=click.Choice(["golang"]), help="Fill placeholders in on the node."
    )
    @click.pass_obj
    def create(
        host: str, name: str, file: str, labels: tuple[str, ...], template_driver: str | None
    ) -> None:
        spec = noun.spec(name, read_data(file, noun.name))
        spec.annotations.labels.update(parse.key_values(labels, "--label"))
        spec.template_driver = template_driver or ""
        with connect(host) as conn:
            click.echo(getattr(noun.ask(conn, "Create", spec=spec), noun.name).id)


def _row(item: o.Secret | o.Config, now_ns: int) -> dict[str, str]:
    from swarm.clock import nanoseconds
    from swarm.model.units import format_age

    labels = dict(item.spec.annotations.labels)
    return {
        "ID": item.id,
        "Name": item.spec.annotations.name,
        "Driver": "",
        "CreatedAt": f"{format_age(now_ns - nanoseconds(item.meta.created_at))} ago",
        "UpdatedAt": f"{format_age(now_ns - nanoseconds(item.meta.updated_at))} ago",
        "Labels": ",".join(f"{key}={labels[key]}" for key in sorted(labels)),
    }


def _add_ls(group: click.Group, noun: Noun) -> None:
    @group.command("ls", help=f"List the {noun.name}s.")
    @click.option("-f", "--filter", "filters", multiple=True, help=f"KEY=VALUE; keys: {', '.join(FILTERS)}.")
    @click.option("--format", "layout", default="", help="json, TEMPLATE or 'table TEMPLATE'.")
    @click.option("-q", "--quiet", is_flag=True, help="Print ids only.")
    @click.pass_obj
    def ls(host: str, filters: tuple[str, ...], layout: str, *, quiet: bool) -> None:
        from swarm.cli.render import show
        from swarm.clock import SystemClock

        found = parse.filters(filters, FILTERS)
        wanted = c.Filters(
            id_prefixes=found.get("id", []),
            name_prefixes=found.get("name", []),
            labels=found.get("label", []),
        )
        with connect(host) as conn:
            answer = noun.ask(conn, "List", filters=wanted)
        now_ns = SystemClock().now_ns()
        rows = [_row(item, now_ns) for item in getattr(answer, f"{noun.name}s")]
        columns = SECRET_COLUMNS if noun.name == "secret" else COLUMNS
        show(sorted(rows, key=lambda row: row["Name"]), columns, layout, "ID" if quiet else "")


def _add_inspect(group: click.Group, noun: Noun, text: str) -> None:
    @group.command("inspect", help=text)
    @objects.inspect_options(f"{noun.name.upper()}...")
    @click.pass_context
    def inspect(ctx: click.Context, refs: tuple[str, ...], layout: str, *, pretty: bool) -> None:
        from swarm.cli import data_view

        shown: Callable[[Any], Any] = data_view.pretty if pretty else data_view.data
        with connect(ctx.obj) as conn:
            ctx.exit(objects.inspect(refs, lambda ref: shown(noun.get(conn, ref)), layout, pretty=pretty))


def _add_update(group: click.Group, noun: Noun) -> None:
    @group.command("update", help=f"Change the labels of a {noun.name}; its data never changes.")
    @click.argument("ref", metavar=noun.name.upper())
    @click.option("--label-add", multiple=True, help="Label to add or change, KEY=VALUE.")
    @click.option("--label-rm", multiple=True, help="Label to remove, by KEY.")
    @click.pass_obj
    def update(host: str, ref: str, label_add: tuple[str, ...], label_rm: tuple[str, ...]) -> None:
        with connect(host) as conn:
            item = noun.get(conn, ref)
            labels = item.spec.annotations.labels
            for key in label_rm:
                if key not in labels:
                    raise InvalidArgument(f"--label-rm {key}: the {noun.name} has no such label")
                del labels[key]
            labels.update(parse.key_values(label_add, "--label-add"))
            noun.ask(conn, "Update", id=item.id, version=item.meta.version.index, spec=item.spec)
            click.echo(ref)


def _add_rm(group: click.Group, noun: Noun) -> None:
    @group.command("rm", help=f"Remove {noun.name}s that no service uses.")
    @click.argument("refs", metavar=f"{noun.name.upper()}...", nargs=-1, required=True)
    @click.pass_context
    def rm(ctx: click.Context, refs: tuple[str, ...]) -> None:
        with connect(ctx.obj) as conn:

            def act(ref: str) -> str:
                noun.ask(conn, "Remove", ref=ref)
                return ref

            ctx.exit(objects.each(refs, act))


_EXAMPLES = {
    "secret": "\b\nExamples:\n"
    "  swarmctl secret create password password.txt\n"
    "  head -c 32 /dev/urandom | base64 | swarmctl secret create --label env=prod session-key -\n"
    "  swarmctl service create --name db --secret password db:1   # reads /run/secrets/password",
    "config": "\b\nExamples:\n"
    "  swarmctl config create nginx.conf ./nginx.conf\n"
    "  swarmctl config create --template-driver golang app.ini ./app.ini   # {{.Task.Slot}}, …\n"
    "  swarmctl service create --name web --config source=nginx.conf,target=/etc/nginx/nginx.conf web:1",
}
_INSPECT = {
    "secret": "Show everything known of secrets but their data, which nobody can read again.",
    "config": "Show everything known of configs; --pretty prints their data as it is.",
}


def _build(group: click.Group, noun: Noun) -> None:
    _add_create(group, noun, _EXAMPLES[noun.name])
    _add_ls(group, noun)
    _add_inspect(group, noun, _INSPECT[noun.name])
    _add_update(group, noun)
    _add_rm(group, noun)


_build(secret, Noun("secret"))
_build(config, Noun("config"))
