"""`swarmctl context`: clusters by name, and which of them commands talk to."""

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from swarm.cli import objects
from swarm.cli.context_view import view
from swarm.cli.contexts import (
    DEFAULT,
    FILE_BYTES_MAX,
    Context,
    ContextStore,
    Tls,
    chosen_name,
    default_root,
    parse,
    to_text,
    write_private,
)
from swarm.cli.endpoints import ManagersEndpoint, parse_endpoint
from swarm.cli.flags import FlagGroup
from swarm.errors import FailedPrecondition, InvalidArgument

_COLUMNS = (
    ("NAME", "Name"),
    ("CURRENT", "Current"),
    ("DESCRIPTION", "Description"),
    ("ENDPOINT", "DockerEndpoint"),
    ("ERROR", "Error"),
)
_TLS_KEYS = ("ca", "cert", "key")


def _epilog(*lines: str) -> str:
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


def _store() -> ContextStore:
    return ContextStore(default_root(os.environ))


@click.group(cls=FlagGroup)
def context() -> None:
    """Clusters by name, and which of them commands talk to.

    What counts, the first that is there: --context or --host, SWARMCTL_HOST, SWARMCTL_CONTEXT, what
    `swarmctl context use` chose, the socket of the node on this machine (the context "default").
    """


@context.command(
    "create",
    epilog=_epilog(
        "swarmctl context create lab --host ssh://root@lab1.example.com",
        "swarmctl context create two --host unix:///run/two/swarmd.sock --description 'the second node'",
        "swarmctl context create shop --host tcp://10.0.0.1:2377,10.0.0.2:2377 \\",
        "    --ca ca.pem --cert cert.pem --key key.pem",
        "swarmctl context create copy --from lab",
    ),
)
@click.argument("name")
@click.option("--host", default="", help="unix:///SOCKET, ssh://[USER@]HOST[:PORT] or tcp://MANAGER:2377,…")
@click.option("--description", default="", help="What it is, for people.")
@click.option("--ca", default="", help="File with the cluster's root certificate (for tcp://).")
@click.option("--cert", default="", help="File with your certificate (for tcp://).")
@click.option("--key", default="", help="File with the key of your certificate (for tcp://).")
@click.option("--docker", default="", help="The same as Docker writes it: host=…,ca=…,cert=…,key=….")
@click.option("--from", "source", default="", help="Begin with what this context says.")
def create(name: str, source: str, **given: str) -> None:
    """Give a cluster a name. Nobody is asked whether it is there."""
    store = _store()
    start = replace(store.load(source, os.environ), description="") if source else Context(name, "")
    store.add(_changed(replace(start, name=name), given))
    click.echo(name)


@context.command(
    "update",
    epilog=_epilog(
        "swarmctl context update lab --description 'the machines below the desk'",
        "swarmctl context update shop --host tcp://10.0.0.3:2377,10.0.0.1:2377",
    ),
)
@click.argument("name")
@click.option("--host", default="", help="unix:///SOCKET, ssh://[USER@]HOST[:PORT] or tcp://MANAGER:2377,…")
@click.option("--description", default="", help="What it is, for people.")
@click.option("--ca", default="", help="File with the cluster's root certificate (for tcp://).")
@click.option("--cert", default="", help="File with your certificate (for tcp://).")
@click.option("--key", default="", help="File with the key of your certificate (for tcp://).")
@click.option("--docker", default="", help="The same as Docker writes it: host=…,ca=…,cert=…,key=….")
def update(name: str, **given: str) -> None:
    """Change what is given, keep the rest."""
    store = _store()
    _refuse_default(name, "changed")
    store.save(_changed(store.load(name, os.environ), given))
    click.echo(name)


@context.command(
    "ls",
    epilog=_epilog("swarmctl context ls", "swarmctl context ls -q", "swarmctl context ls --format json"),
)
@click.option("-q", "--quiet", is_flag=True, help="Only the names.")
@click.option("--format", "layout", default="", help="table, json, yaml or TEMPLATE.")
@click.pass_obj
def ls(chosen: str, layout: str, *, quiet: bool) -> None:
    """List the contexts; a star marks the one that commands talk to now."""
    from swarm.cli.render import show

    found = _store().load_all(os.environ)
    if layout in {"", "table"}:
        rows = [_row(one, "*" if one.name == chosen_name(chosen) else "") for one in found]
    else:
        rows = [_row(one, one.name == chosen_name(chosen)) for one in found]
    columns = _COLUMNS if any(one.error for one in found) else _COLUMNS[:-1]
    show(rows, columns, "" if quiet else layout, "Name" if quiet else "")


def _row(one: Context, current: str | bool) -> dict[str, Any]:
    return {
        "Name": one.name,
        "Current": current,
        "Description": one.description,
        "DockerEndpoint": one.host,
        "Error": one.error,
    }


@context.command("show", epilog=_epilog("swarmctl context show"))
@click.pass_obj
def show_current(chosen: str) -> None:
    """Print the name of the context that commands talk to."""
    click.echo(chosen_name(chosen))


@context.command("use", epilog=_epilog("swarmctl context use lab", "swarmctl context use default"))
@click.argument("name")
def use(name: str) -> None:
    """Make commands talk to a context when nothing else is said."""
    store = _store()
    store.load(name, os.environ)
    store.use(name)
    click.echo(name)
    for variable in ("SWARMCTL_HOST", "SWARMCTL_CONTEXT"):
        if os.environ.get(variable):
            click.echo(f"Warning: {variable} is set, and counts more: unset {variable}", err=True)
            return


@context.command(
    "inspect",
    epilog=_epilog(
        "swarmctl context inspect", "swarmctl context inspect lab --format '{{.Endpoints.docker.Host}}'"
    ),
)
@click.argument("names", nargs=-1, metavar="[CONTEXT]...")
@click.option("-f", "--format", "layout", default="", help="json, yaml or TEMPLATE.")
@click.pass_context
def inspect(ctx: click.Context, names: tuple[str, ...], layout: str) -> None:
    """Show contexts, the current one when none is named; keys are never shown."""
    store = _store()
    ctx.exit(
        objects.inspect(
            names or (chosen_name(ctx.obj),), lambda name: view(store.load(name, os.environ), store), layout
        )
    )


@context.command("rm", epilog=_epilog("swarmctl context rm lab", "swarmctl context rm -f lab old"))
@click.argument("names", nargs=-1, required=True, metavar="CONTEXT...")
@click.option(
    "-f",
    "--force",
    is_flag=True,
    help="Also the one in use (the default one is used then); one that does not exist is no error.",
)
@click.pass_context
def rm(ctx: click.Context, names: tuple[str, ...], *, force: bool) -> None:
    """Forget contexts with their keys; the clusters do not notice."""
    store = _store()

    def remove(name: str) -> str:
        if force and name not in store.names():
            return name
        _refuse_default(name, "removed")
        used = store.current == name
        if used and not force:
            raise FailedPrecondition(
                f"context {name} is in use: swarmctl context use default, or say --force"
            )
        store.remove(name)
        if used:
            store.use(DEFAULT)
        return name

    ctx.exit(objects.each(names, remove))


@context.command(
    "export",
    epilog=_epilog(
        "swarmctl context export lab",
        "swarmctl context export lab - | ssh desk swarmctl context import lab -",
    ),
)
@click.argument("name")
@click.argument("file", required=False)
def export(name: str, file: str | None) -> None:
    """Write a context to a file (NAME.swarmcontext; `-`: standard output), its key included.

    Whoever has the file can do what its owner can: it is made readable by you only.
    """
    found = _store().load(name, os.environ)
    parse_endpoint(found.host)
    text = to_text(found)
    if found.tls is not None:
        click.echo("Warning: the file holds a private key: give it to nobody else.", err=True)
    if file == "-":
        click.echo(text, nl=False)
        return
    path = Path(file or f"{name}.swarmcontext")
    if path.exists():
        raise FailedPrecondition(f"cannot write {path}: there is such a file already")
    write_private(path, text)
    click.echo(f"Wrote {path}")


@context.command(
    "import",
    epilog=_epilog(
        "swarmctl context import lab lab.swarmcontext", "swarmctl context import lab - < lab.swarmcontext"
    ),
)
@click.argument("name")
@click.argument("file")
def import_(name: str, file: str) -> None:
    """Keep a context that `export` or an administrator wrote, under a name of your choice."""
    try:
        with sys.stdin.buffer if file == "-" else Path(file).open("rb") as stream:
            data = stream.read(FILE_BYTES_MAX + 1)
    except OSError as problem:
        raise InvalidArgument(f"cannot read {file}: {problem.strerror}") from None
    if len(data) > FILE_BYTES_MAX:
        raise InvalidArgument(f"cannot read {file}: it is larger than a context can be (1 MiB)")
    try:
        found = parse(data.decode("utf-8", "replace"), name)
        _check(found)
    except InvalidArgument as problem:
        raise InvalidArgument(f"cannot import {file}: {problem}") from None
    _store().add(found)
    click.echo(name)


def _refuse_default(name: str, verb: str) -> None:
    if name == DEFAULT:
        raise FailedPrecondition('the context "default" is always there and cannot be ' + verb)


def _changed(start: Context, given: dict[str, str]) -> Context:
    """Return a context with what the options say; raises InvalidArgument."""
    options = {**_docker_options(given["docker"]), **{key: text for key, text in given.items() if text}}
    files = {key: options[key] for key in _TLS_KEYS if key in options}
    if start.tls is None and 0 < len(files) < len(_TLS_KEYS):
        raise InvalidArgument("--ca, --cert and --key belong together: give all three")
    pems = {key: _read_pem(path) for key, path in files.items()}
    before = {key: getattr(start.tls, key) for key in _TLS_KEYS} if start.tls is not None else {}
    together = {**before, **pems}
    changed = replace(
        start,
        host=options.get("host", start.host),
        description=options.get("description", start.description),
        tls=Tls(**together) if together else None,
    )
    _check(changed)
    return changed


def _docker_options(text: str) -> dict[str, str]:
    """Return what `host=…,ca=…` says; an address list keeps its commas."""
    found: dict[str, str] = {}
    last = ""
    for part in text.split(",") if text else ():
        key, equals, value = part.partition("=")
        if equals and key in {"host", *_TLS_KEYS}:
            found[key], last = value, key
        elif last == "host" and not equals:
            found["host"] += f",{part}"
        else:
            raise InvalidArgument(f'--docker: "{part}" is not host=…, ca=…, cert=… or key=…')
    return found


def _read_pem(path: str) -> str:
    try:
        text = Path(path).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        raise InvalidArgument(f"cannot read {path}: {problem}") from None
    if "-----BEGIN" not in text:
        raise InvalidArgument(f"cannot read {path}: it is not a PEM file")
    return text


def _check(one: Context) -> None:
    """Raise InvalidArgument unless a context can be used."""
    if not one.host:
        raise InvalidArgument(
            "say where it is: --host ssh://root@HOST, unix:///SOCKET or tcp://MANAGER:2377"
        )
    managers = isinstance(parse_endpoint(one.host), ManagersEndpoint)
    if managers and one.tls is None:
        raise InvalidArgument(f"managers ({one.host}) ask for a certificate: give --ca, --cert and --key")
    if one.tls is not None and not managers:
        raise InvalidArgument(f"certificates are for tcp:// only, and this is {one.host}")
    if one.tls is not None:
        _check_pair(one.tls)


def _check_pair(tls: Tls) -> None:
    """Raise InvalidArgument unless certificates and key can be read and belong together."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        x509.load_pem_x509_certificates(tls.ca.encode())
        cert = x509.load_pem_x509_certificate(tls.cert.encode())
        key = load_pem_private_key(tls.key.encode(), None)
    except (ValueError, TypeError) as problem:
        raise InvalidArgument(f"certificates or key cannot be read: {problem}") from None
    if cert.public_key() != key.public_key():
        raise InvalidArgument("the key is not that of the certificate")
