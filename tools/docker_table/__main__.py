"""Prints docs/docker.md.

python -m tools.docker_table > docs/docker.md
"""

import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click

from swarm.cli.docker_reasons import ABSENT, UNTOLD, reason_for
from swarm.cli.main import cli
from swarm.cli.shortcuts import SHORTCUTS

_DATA = tomllib.loads(Path(__file__).with_name("docker.toml").read_text("utf-8"))
COMMANDS: dict[str, list[str]] = {name: flags.split() for name, flags in _DATA["commands"].items()}

INSPECTED: dict[str, list[str]] = {name: fields.split() for name, fields in _DATA["inspect"].items()}

HEAD = """# Docker's commands

Every command and flag of Docker that operators of a Swarm use, and what became of it. `swarmctl` stands
for `docker`; `swarmctl swarm init` is also `swarmctl init`, and so on. Where nothing is said, a flag does
what it does there; whoever types what is missing is told why. `python -m tools.docker_table` makes this.

- **Formats**: `--format` takes `table`, `table TEMPLATE`, `json`, `yaml`, `raw` where Docker has it, or a
  template of Go with the functions that Docker adds (`json`, `join`, `split`, `upper`, `lower`, `title`,
  `pad`, `truncate`);
  lists have `.Label "KEY"`. Of what `inspect` shows a template reads also what nobody set: what holds then.
- **Settings**: of Docker's `config.json` (`DOCKER_CONFIG` names its folder) hold, beside credentials, the
  formats of lists (`psFormat`, `imagesFormat`, `networksFormat`, `volumesFormat`, `nodesFormat`,
  `servicesFormat`, `serviceInspectFormat`, `tasksFormat`, `secretFormat`, `configFormat`, `statsFormat`),
  `detachKeys` and `pruneFilters`; contexts and what HTTP needs (`HttpHeaders`, `proxies`) are our own.
- **Names**: an object is its name, its id, or the beginning of its id that no other has. Commands that take
  several do all they can, name each that failed, and end with exit code 1.
- **Flags** may have a value: `--detach=false`.
- **Waiting**: commands that change services wait until they have converged, as Docker's do; `stack deploy`
  does so too. Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 an update paused, 4 it was rolled
  back, 130 interrupted.
- **Events**: what nodes say of containers and what changes in the cluster come as one. Scripts that must
  miss nothing and hear nothing twice go on with `--since-version`: a version is the same on every manager.
- **Shortcuts**: """

TAIL = Path(__file__).with_name("differences.md").read_text("utf-8")


UNTOLD_HEAD = """## What `inspect` has not

All else that Docker's `inspect` has, ours has too, under the same names; what a container has not is empty
there. Paths are those of its node. Where values differ: ids are the cluster's; `.Image`, and `.Id` of
images, is the digest of what was pulled; `.HostConfig.LogConfig.Config` has numbers of bytes; the file at
`.LogPath` has lines of time, stream and text, which `logs` reads; the address of the node's own network is
`.NetworkSettings.IPAddress` also beside others.

| command | fields of Docker | why not |
|---|---|---|"""


def command_of(words: str) -> click.Command | None:
    """Return our command of that name."""
    context = click.Context(cli, info_name="swarmctl")
    command: click.Command | None = cli
    for word in words.split():
        assert isinstance(command, click.Group)
        command = command.get_command(context, word)
        if command is None:
            return None
        context = click.Context(command, parent=context, info_name=word)
    return command


def flags_of(command: click.Command) -> list[str]:
    """Return the long names of its flags."""
    options = (one for one in command.params if isinstance(one, click.Option) and not one.hidden)
    names = (name for one in options for name in (*one.opts, *one.secondary_opts))
    return [name.removeprefix("--") for name in names if name.startswith("--")]


def line(command: str) -> str:
    """Return the row of one command."""
    ours = command_of(command)
    if ours is None:
        return f"| `{command}` | no: {ABSENT[command]} | |"
    theirs, here = COMMANDS[command], flags_of(ours)
    absent = [flag for flag in theirs if flag not in here]
    missing = "; ".join(f"no `--{flag}`: {reason_for(command, flag)}" for flag in absent)
    more = " ".join(f"`--{flag}`" for flag in here if flag not in theirs and not flag.startswith("no-"))
    return f"| `{command}` | {missing or 'all'} | {more} |"


def page() -> str:
    """Return the whole page."""
    shortcuts = ", ".join(f"`{name}`" for name in sorted(SHORTCUTS))
    head = f"{HEAD}{shortcuts} stand for the commands of containers and images.\n"
    rows = [line(command) for command in COMMANDS]
    table = ["| command | flags of Docker | and here also |", "|---|---|---|", *rows, ""]
    return "\n".join([head, *table, UNTOLD_HEAD, *_untold(), "", TAIL])


def _untold() -> Iterator[str]:
    """Yield the rows of what `inspect` has not, those with one reason together."""
    for command, reasons in UNTOLD.items():
        for reason in dict.fromkeys(reasons.values()):
            fields = " ".join(f"`.{field}`" for field, why in reasons.items() if why == reason)
            yield f"| `{command}` | {fields} | {reason} |"


if __name__ == "__main__":
    sys.stdout.write(page())
