"""What becomes of `--env-rm KEY` when there is no such KEY: it is told, and the rest is done.

As with Docker, so that a script may take away what an earlier run took away already.
"""

import click


def tell_not_there(option: str, value: str, kind: str = "entry") -> None:
    """Say that there is nothing to remove."""
    click.echo(f"Warning: {option} {value}: the service has no such {kind}, nothing to remove", err=True)
