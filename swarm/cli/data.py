"""`swarmctl secret` and `swarmctl config`: data for containers."""

from collections.abc import Callable
from typing import Any

import click

from swarm.api.v1 import control_pb2 as c
from swarm.api.v1 import objects_pb2 as o
from swarm.api.v1.specs_pb2 import ConfigSpec, SecretSpec
from swarm.cli import objects, parse
from swarm.cli.connect import Connection, connect
from swarm.cli.data_content import content_options, has_content, read_content
from swarm.cli.flags import FlagGroup
from swarm.cli.natural_order import natural
from swarm.cli.plan import dry_run_options, show_plan
from swarm.cli.rollout import EXIT_CODES, waiting_options
from swarm.cli.secret_driver_options import driver_options, new_driver, next_driver, says_driver
from swarm.cli.templates.values import LabelText
from swarm.errors import InvalidArgument
from swarm.model.data_versions import family_of, number_of

COLUMNS = (
    ("ID", "ID"),
    ("NAME", "Name"),
    ("VERSION", "Version"),
    ("CREATED", "CreatedAt"),
    ("UPDATED", "UpdatedAt"),
)
SECRET_COLUMNS = (*COLUMNS[:2], ("DRIVER", "Driver"), *COLUMNS[2:])
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

    def spec(self, name: str, given: dict[str, Any]) -> SecretSpec | ConfigSpec:
        """Return the spec of a new object with the content that the options name."""
        spec: SecretSpec | ConfigSpec
        if (driver := new_driver(given)) is not None:
            spec = SecretSpec(driver=driver)
        else:
            data = read_content(self.name, given)
            spec = SecretSpec(secret_data=data) if self.name == "secret" else ConfigSpec(data=data)
        spec.annotations.name = name
        return spec

    def change(self, item: o.Secret | o.Config, given: dict[str, Any]) -> c.PlannedChange:
        """Return the rotation that the options ask for."""
        name = item.spec.annotations.name
        if isinstance(item, o.Config):
            data = read_content(self.name, given, item.spec.data)
            return c.PlannedChange(rotate_config=c.RotateConfigRequest(ref=name, data=data))
        asked = c.RotateSecretRequest(ref=name, of_number=number_of(item))
        if (driver := next_driver(item, given)) is not None:
            asked.driver.CopyFrom(driver)
        else:
            asked = c.RotateSecretRequest(ref=name, secret_data=read_content(self.name, given))
        return c.PlannedChange(rotate_secret=asked)


@click.group(cls=FlagGroup)
def secret() -> None:
    """Secrets: data that only the containers of services get to see."""


@click.group(cls=FlagGroup)
def config() -> None:
    """Configs: data for the containers of services, which people may see as well."""


def _add_create(group: click.Group, noun: Noun, epilog: str) -> None:
    @group.command(
        "create",
        epilog=epilog,
        help=f"Keep what is in FILE (-: standard input), a variable or an editor as {noun.name} NAME."
        + (" With a driver, the secret stays where it is kept." if noun.name == "secret" else ""),
    )
    @click.argument("name")
    @content_options
    @driver_options(noun.name, "-d", "--driver")
    @click.option("-l", "--label", "labels", multiple=True, help="Label, KEY=VALUE.")
    @click.option(
        "--template-driver", type=click.Choice(["golang"]), help="Fill placeholders in on the node."
    )
    @click.pass_obj
    def create(
        host: str, /, name: str, labels: tuple[str, ...], template_driver: str | None, **given: Any
    ) -> None:
        spec = noun.spec(name, given)
        spec.annotations.labels.update(parse.key_values(labels, "--label"))
        spec.template_driver = template_driver or ""
        with connect(host) as conn:
            click.echo(getattr(noun.ask(conn, "Create", spec=spec), noun.name).id)


def _row(item: o.Secret | o.Config, now_ns: int) -> dict[str, str]:
    from swarm.clock import nanoseconds
    from swarm.model.units import format_age

    return {
        "ID": item.id,
        "Name": item.spec.annotations.name,
        "Driver": item.spec.driver.name if isinstance(item, o.Secret) else "",
        "Version": str(number_of(item)),
        "CreatedAt": f"{format_age(now_ns - nanoseconds(item.meta.created_at))} ago",
        "UpdatedAt": f"{format_age(now_ns - nanoseconds(item.meta.updated_at))} ago",
        "Labels": LabelText(item.spec.annotations.labels),
    }


def _example(noun: Noun, words: str) -> str:
    return f"\b\nExample:\n  swarmctl {noun.name} {words}"


def _add_ls(group: click.Group, noun: Noun) -> None:
    @group.command("ls", help=f"List the {noun.name}s.", epilog=_example(noun, "ls --filter label=env=prod"))
    @click.option("-f", "--filter", "filters", multiple=True, help=f"KEY=VALUE; keys: {', '.join(FILTERS)}.")
    @click.option("--format", "layout", default="", help="json, yaml, TEMPLATE or 'table TEMPLATE'.")
    @click.option("-q", "--quiet", is_flag=True, help="Print ids only.")
    @click.pass_obj
    def ls(host: str, filters: tuple[str, ...], layout: str, *, quiet: bool) -> None:
        from swarm.cli.docker_settings import layout_of
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
        shown = layout_of(f"{noun.name}Format", layout, quiet=quiet)
        show(sorted(rows, key=lambda row: natural(row["Name"])), columns, shown, "ID" if quiet else "")


def _add_inspect(group: click.Group, noun: Noun, text: str) -> None:
    @group.command("inspect", help=text, epilog=_example(noun, "inspect --format '{{.Spec.Name}}' NAME"))
    @objects.inspect_options(f"{noun.name.upper()}...")
    @click.pass_context
    def inspect(ctx: click.Context, refs: tuple[str, ...], layout: str, *, pretty: bool) -> None:
        from swarm.cli import data_view

        shown: Callable[[Any], Any] = data_view.pretty if pretty else data_view.data
        with connect(ctx.obj) as conn:
            ctx.exit(objects.inspect(refs, lambda ref: shown(noun.get(conn, ref)), layout, pretty=pretty))


def _add_update(group: click.Group, noun: Noun) -> None:
    @group.command(
        "update",
        help=f"Change the labels of a {noun.name}; with new content, the same as rotate.",
        epilog=_example(noun, "update --label-add env=prod NAME") + f"\n\n{EXIT_CODES}",
    )
    @click.argument("ref", metavar=noun.name.upper())
    @content_options
    @driver_options(noun.name, "--driver")
    @click.option("--label-add", multiple=True, help="Label to add or change, KEY=VALUE.")
    @click.option("--label-rm", multiple=True, help="Label to remove, by KEY.")
    @waiting_options
    @click.pass_context
    def update(
        ctx: click.Context, /, ref: str, label_add: tuple[str, ...], label_rm: tuple[str, ...], **given: Any
    ) -> None:
        if has_content(given) or says_driver(given):
            if label_add or label_rm:
                raise InvalidArgument("change labels and content one after the other")
            ctx.exit(rotate(ctx.obj, noun, ref, given | {"dry_run": False}))
        with connect(ctx.obj) as conn:
            item = noun.get(conn, ref)
            labels = item.spec.annotations.labels
            for key in label_rm:
                if key not in labels:
                    raise InvalidArgument(f"--label-rm {key}: the {noun.name} has no such label")
                del labels[key]
            labels.update(parse.key_values(label_add, "--label-add"))
            noun.ask(conn, "Update", id=item.id, version=item.meta.version.index, spec=item.spec)
            click.echo(ref)


def _add_rotate(group: click.Group, noun: Noun, epilog: str) -> None:
    @group.command(
        "rotate",
        help=f"Give a {noun.name} new content; its services follow as their update policies say.",
        epilog=f"{epilog}\n\n{EXIT_CODES}",
    )
    @click.argument("ref", metavar=noun.name.upper())
    @content_options
    @driver_options(noun.name, "--driver")
    @waiting_options
    @dry_run_options
    @click.pass_context
    def rotate_it(ctx: click.Context, /, ref: str, **given: Any) -> None:
        ctx.exit(rotate(ctx.obj, noun, ref, given))


def rotate(host: str, noun: Noun, ref: str, given: dict[str, Any]) -> int:
    """Give a secret or config the content that the options name; wait for its services; return the code."""
    from swarm.cli.stack_progress import wait_all
    from swarm.model.units import parse_duration

    # What is wrong with the time is wrong before anything changes.
    timeout_s = parse_duration(given["timeout"]) / 1e9 if given["timeout"] else None
    with connect(host) as conn:
        item = noun.get(conn, ref)  # before people write into an editor for nothing
        name, change = item.spec.annotations.name, noun.change(item, given)
        if given["dry_run"]:
            return show_plan(conn, [change], given["layout"])
        answer = conn.control.ApplyChanges(c.ApplyChangesRequest(changes=[change]))
        for warning in answer.warnings:
            click.echo(f"Warning: {warning}", err=True)
        if not answer.made:
            click.echo(f"{noun.name} {name} has this content already: no new version", err=True)
        click.echo(answer.ids[0])
        if given["detach"]:
            return 0
        later = f"the services go on in the background; `swarmctl {noun.name} history {name}` shows them"
        return wait_all(
            conn, answer.rotated_service_ids, quiet=given["quiet"], timeout_s=timeout_s, later=later
        )


def _add_history(group: click.Group, noun: Noun) -> None:
    @group.command(
        "history",
        help=f"Show the versions of a {noun.name} that are kept, newest first, and who uses them.",
        epilog="\b\nMarked are the version in force (*) and services that may go back to one (~).\n"
        f"Example:\n  swarmctl {noun.name} history NAME",
    )
    @click.argument("ref", metavar=noun.name.upper())
    @click.option("--format", "layout", default="", help="json, TEMPLATE or 'table TEMPLATE'.")
    @click.option("-q", "--quiet", is_flag=True, help="Print numbers only.")
    @click.pass_obj
    def history(host: str, ref: str, layout: str, *, quiet: bool) -> None:
        from swarm.cli.data_view import HISTORY_COLUMNS, history_rows
        from swarm.cli.render import show
        from swarm.clock import SystemClock

        with connect(host) as conn:
            name = family_of(noun.get(conn, ref).spec.annotations.name)
            wanted = c.Filters(name_prefixes=[name])
            answer = noun.ask(conn, "List", filters=wanted, old_versions=True)
            services = conn.control.ListServices(c.ListServicesRequest()).services
        found = [
            one for one in getattr(answer, f"{noun.name}s") if family_of(one.spec.annotations.name) == name
        ]
        show(
            history_rows(found, services, SystemClock().now_ns()),
            HISTORY_COLUMNS,
            layout,
            "Version" if quiet else "",
        )


def _add_rm(group: click.Group, noun: Noun) -> None:
    @group.command(
        "rm", help=f"Remove {noun.name}s that no service uses.", epilog=_example(noun, "rm NAME OTHER")
    )
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
    "  swarmctl service create --name db --secret password db:1   # reads /run/secrets/password\n"
    "  swarmctl secret create --driver vault --driver-opt address=https://vault:8200 \\\n"
    "    --driver-opt path=apps/db --driver-opt token-secret=vault-token db-password",
    "config": "\b\nExamples:\n"
    "  swarmctl config create nginx.conf ./nginx.conf\n"
    "  swarmctl config create --template-driver golang app.ini ./app.ini   # {{.Task.Slot}}, …\n"
    "  swarmctl service create --name web --config source=nginx.conf,target=/etc/nginx/nginx.conf web:1",
}
_ROTATIONS = {
    "secret": "\b\nExamples:\n"
    "  swarmctl secret rotate db-password new.txt\n"
    "  openssl rand -base64 32 | swarmctl secret rotate session-key -\n"
    "  swarmctl secret rotate --env DB_PASSWORD db-password\n"
    "  swarmctl secret rotate --dry-run db-password new.txt\n"
    "  swarmctl secret rotate db-password                      # of a driver: it is asked again\n"
    "  swarmctl secret rotate --driver-opt version=4 db-password",
    "config": "\b\nExamples:\n"
    "  swarmctl config rotate nginx.conf ./nginx.conf\n"
    "  swarmctl config rotate --edit nginx.conf   # $EDITOR begins with what it is now",
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
    _add_rotate(group, noun, _ROTATIONS[noun.name])
    _add_history(group, noun)
    _add_rm(group, noun)


_build(secret, Noun("secret"))
_build(config, Noun("config"))
