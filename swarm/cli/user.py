"""`swarmctl user`: people with certificates of the cluster, and what each may do."""

from typing import Any

import click

from swarm.api.v1 import users_pb2 as u
from swarm.cli import objects, parse
from swarm.cli.connect import Connection, connect
from swarm.cli.flags import FlagGroup
from swarm.errors import FailedPrecondition, InvalidArgument

ROLES = ("viewer", "operator", "admin")
FILTERS = ("id", "name", "label", "role")
COLUMNS = (
    ("ID", "ID"),
    ("NAME", "Name"),
    ("ROLE", "Role"),
    ("SCOPE", "Scope"),
    ("EXPIRES", "Expires"),
    ("CREATED", "CreatedAt"),
    ("BY", "CreatedBy"),
)


def _epilog(*lines: str) -> str:
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


def role_of(user: u.User) -> str:
    """Return the role of a user as people write it."""
    return u.UserRole.Name(user.spec.role).removeprefix("USER_ROLE_").lower()


def _role(word: str) -> int:
    return int(u.UserRole.Value(f"USER_ROLE_{word.upper()}"))


@click.group(cls=FlagGroup)
def user() -> None:
    """People who call from elsewhere, and what each may do.

    A viewer looks and sees no secret; an operator changes what runs (services, stacks, configs, secrets,
    networks, volumes, images, containers); an admin does everything. With --scope, only objects with one of
    the labels are there for a user. Whoever may open a manager's socket is an admin.
    """


def _out_option(command: Any) -> Any:
    return click.option(
        "--out",
        default="",
        metavar="FILE",
        help="Where the context is written, key included; -: standard output.  [default: NAME.swarmcontext]",
    )(command)


def _host_option(command: Any) -> Any:
    return click.option(
        "--host",
        "addresses",
        default="",
        help="Managers as the user reaches them, tcp://MANAGER:2377,…  [default: as managers do]",
    )(command)


def _expiry_option(command: Any) -> Any:
    return click.option(
        "--expiry", default="", help="How long the certificate is valid, e.g. 720h.  [default: a year]"
    )(command)


@user.command(
    "create",
    epilog=_epilog(
        "swarmctl user create ann --role operator --out ann.swarmcontext",
        "swarmctl user create kim --role operator --scope team=red --scope team=blue",
        "swarmctl user create lee --role operator --scope team=red --image-name registry.example/red",
        "swarmctl user create vic --role viewer --host tcp://swarm.example.com:2377 --expiry 720h",
        "swarmctl context import shop ann.swarmcontext    # what ann does with the file",
    ),
)
@click.argument("name")
@click.option("--role", required=True, type=click.Choice(ROLES), help="What the user may do.")
@click.option(
    "--scope", multiple=True, metavar="KEY[=VALUE]", help="Only objects with this label; repeatable."
)
@click.option(
    "--image-name",
    "image_names",
    multiple=True,
    metavar="REGISTRY[/PATH]",
    help="With --scope: the user loads, builds and tags images of this name and below; repeatable.",
)
@click.option("-l", "--label", "labels", multiple=True, help="Label, KEY=VALUE.")
@_expiry_option
@_host_option
@_out_option
@click.pass_obj
def create(host: str, /, name: str, role: str, out: str, **given: Any) -> None:
    """Make a user, and a file with all that the user needs to call.

    The key is made here and goes nowhere but into the file: give that to nobody but the user.
    """
    from swarm.cli.user_context import Issued, destination

    spec = u.UserSpec(scope=given["scope"], image_names=given["image_names"])
    spec.role = _role(role)  # type: ignore[assignment]  # a number, as generated code has it
    spec.annotations.name = name
    spec.annotations.labels.update(parse.key_values(given["labels"], "--label"))
    with destination(out, name) as write:
        made = Issued(name, given["expiry"], given["addresses"])
        with connect(host) as conn:
            request = u.CreateUserRequest(spec=spec, csr_pem=made.csr_pem, lifetime_ns=made.lifetime_ns)
            answer = conn.control.CreateUser(request)
        write(made.context(answer))


@user.command(
    "renew",
    epilog=_epilog(
        "swarmctl user renew ann --out ann.swarmcontext",
        "swarmctl user renew ann --revoke     # the key was lost: the certificates before end at once",
        "swarmctl user renew                  # oneself: the context in use gets a new key and certificate",
    ),
)
@click.argument("name", required=False, default="")
@click.option("--revoke", is_flag=True, help="Refuse all certificates that the user got before.")
@_expiry_option
@_host_option
@_out_option
@click.pass_obj
def renew(host: str, name: str, expiry: str, addresses: str, out: str, *, revoke: bool) -> None:
    """Make another certificate of a user; without NAME that of the context in use, in its place."""
    from swarm.cli.user_context import Issued, destination, replacing

    if not name and (revoke or out):
        raise click.UsageError("--revoke and --out need the NAME of a user")
    with replacing(host) if not name else destination(out, name) as write:
        made = Issued(name, expiry, addresses)
        with connect(host) as conn:
            request = u.RenewUserRequest(
                ref=name or "self", csr_pem=made.csr_pem, lifetime_ns=made.lifetime_ns, revoke=revoke
            )
            answer = conn.control.RenewUser(request)
        write(made.context(answer))


@user.command(
    "ls",
    epilog=_epilog(
        "swarmctl user ls", "swarmctl user ls --filter role=admin -q", "swarmctl user ls --format json"
    ),
)
@click.option("-f", "--filter", "filters", multiple=True, help=f"KEY=VALUE; keys: {', '.join(FILTERS)}.")
@click.option("--format", "layout", default="", help="table, json, yaml or TEMPLATE.")
@click.option("-q", "--quiet", is_flag=True, help="Print names only.")
@click.pass_obj
def ls(host: str, filters: tuple[str, ...], layout: str, *, quiet: bool) -> None:
    """List the users."""
    from swarm.cli.render import show
    from swarm.cli.user_view import row, selected
    from swarm.clock import SystemClock

    wanted = parse.filters(filters, FILTERS)
    for word in wanted.get("role", []):
        if word not in ROLES:
            raise InvalidArgument(f"--filter role={word}: write one of {', '.join(ROLES)}")
    with connect(host) as conn:
        users = conn.control.ListUsers(u.ListUsersRequest()).users
    now_ns = SystemClock().now_ns()
    rows = [row(one, now_ns) for one in users if selected(one, wanted)]
    show(rows, COLUMNS, layout, "Name" if quiet else "")


@user.command("inspect", epilog=_epilog("swarmctl user inspect ann --pretty", "swarmctl user inspect self"))
@objects.inspect_options("USER...")
@click.pass_context
def inspect(ctx: click.Context, refs: tuple[str, ...], layout: str, *, pretty: bool) -> None:
    """Show users; `self` is who asks, which everybody may."""
    from swarm.cli import user_view

    shown: Any = user_view.pretty if pretty else user_view.data
    with connect(ctx.obj) as conn:
        ctx.exit(objects.inspect(refs, lambda ref: shown(_get(conn, ref)), layout, pretty=pretty))


def _get(conn: Connection, ref: str) -> u.User:
    found: u.User = conn.control.GetUser(u.GetUserRequest(ref=ref)).user
    return found


@user.command(
    "update",
    epilog=_epilog(
        "swarmctl user update ann --role viewer",
        "swarmctl user update kim --scope-add team=green --scope-rm team=red",
        "swarmctl user update kim --image-name-add registry.example/red",
        "swarmctl user update kim --no-scope",
    ),
)
@click.argument("name")
@click.option("--role", type=click.Choice(ROLES), help="What the user may do from now on.")
@click.option("--scope-add", multiple=True, metavar="KEY[=VALUE]", help="Label to add to the scope.")
@click.option("--scope-rm", multiple=True, metavar="KEY[=VALUE]", help="Label to take out of the scope.")
@click.option(
    "--image-name-add", multiple=True, metavar="REGISTRY[/PATH]", help="Name of images to set apart."
)
@click.option(
    "--image-name-rm", multiple=True, metavar="REGISTRY[/PATH]", help="Name of images that is not any more."
)
@click.option("--no-scope", is_flag=True, help="The user sees and changes everything that the role allows.")
@click.option("--label-add", multiple=True, help="Label to add or change, KEY=VALUE.")
@click.option("--label-rm", multiple=True, help="Label to remove, by KEY.")
@click.pass_obj
def update(host: str, /, name: str, **given: Any) -> None:
    """Change what a user may do; it counts at once, also for what the user follows just now."""
    if not any(given.values()):
        raise click.UsageError("nothing to change: name --role, --scope-add, … (see --help)")
    if given["no_scope"] and (given["scope_add"] or given["scope_rm"] or given["image_name_add"]):
        raise click.UsageError(
            "--no-scope excludes --scope-add, --scope-rm and --image-name-add, which confine somebody"
        )
    with connect(host) as conn:
        found = _get(conn, name)
        spec = u.UserSpec()
        spec.CopyFrom(found.spec)
        _change(spec, name, given)
        conn.control.UpdateUser(
            u.UpdateUserRequest(id=found.id, version=found.meta.version.index, spec=spec)
        )
    click.echo(name)


def _change(spec: u.UserSpec, name: str, given: dict[str, Any]) -> None:
    """Write what the options said into `spec`."""
    if given["role"]:
        spec.role = _role(given["role"])  # type: ignore[assignment]  # a number, as generated code has it
    was_confined = bool(spec.scope)
    for field, option in (("scope", "scope"), ("image_names", "image_name")):
        texts, gone = getattr(spec, field), given[f"{option}_rm"]
        kept = _without(list(texts), gone, f"--{option.replace('_', '-')}-rm", name)
        del texts[:]
        texts.extend([] if given["no_scope"] else dict.fromkeys((*kept, *given[f"{option}_add"])))
    if not spec.scope and was_confined and not given["no_scope"]:
        raise FailedPrecondition(
            f"without {', '.join(given['scope_rm'])} nothing confines {name}: say --no-scope if that is"
            " meant"
        )
    for key in _without(list(given["label_rm"]), spec.annotations.labels, "", name):
        raise InvalidArgument(f"--label-rm {key}: user {name} has no such label")
    for key in given["label_rm"]:
        del spec.annotations.labels[key]
    spec.annotations.labels.update(parse.key_values(given["label_add"], "--label-add"))


def _without(texts: list[str], gone: Any, option: str, name: str) -> list[str]:
    """Return `texts` without those `gone`; with an option each of these must have been there."""
    for text in gone if option else ():
        if text not in texts:
            raise InvalidArgument(f"{option} {text}: user {name} does not have it")
    return [text for text in texts if text not in gone]


@user.command("rm", epilog=_epilog("swarmctl user rm ann kim"))
@click.argument("names", nargs=-1, required=True, metavar="USER...")
@click.pass_context
def rm(ctx: click.Context, names: tuple[str, ...]) -> None:
    """Remove users: their certificates are refused from now on, and what they follow ends."""
    with connect(ctx.obj) as conn:

        def act(ref: str) -> str:
            conn.control.RemoveUser(u.RemoveUserRequest(ref=ref))
            return ref

        ctx.exit(objects.each(names, act))
