"""Asking before data is lost. Scripts answer on stdin (`yes |`) or say that they are sure."""

import sys

import click

_YES = {"y", "yes"}


class Declined(click.ClickException):
    """Whoever was asked did not say yes: nothing was done. Exit code 1."""


def confirm(loses: str, sure: str = "--force") -> None:
    """Ask whether to go on, after the sentence `loses`; raises Declined unless the answer is yes.

    As with Docker an answer may also come from a pipe, and none is no. `sure` names the option that does
    not ask.
    """
    click.echo(f"{loses} Go on? [y/N] ", nl=False, err=True)
    answer = sys.stdin.readline()
    if not answer.endswith("\n"):
        click.echo(err=True)
    if answer.strip().lower() not in _YES:
        raise Declined(f"cancelled, nothing was removed; {sure} does not ask")


def confirm_on_terminal(loses: str, sure: str) -> None:
    """Ask only where somebody sits at a terminal: scripts know from Docker that they are not asked."""
    if sys.stdin.isatty():
        confirm(loses, sure)
