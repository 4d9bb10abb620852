"""Asks for all that is known of an image of the cluster."""

from typing import Any

import click

from swarm.api.v1 import control_pb2 as c
from swarm.cli.connect import Connection
from swarm.cli.image_view import named, page
from swarm.errors import SwarmError


def described(conn: Connection, ref: str) -> dict[str, Any]:
    """Ask for an image and what it says of itself, and return it as `image inspect` prints it.

    Where no manager that holds it can be reached, that is told, and the rest is left out. Raises NotFound,
    Ambiguous, Unavailable.
    """
    images = conn.control.ListImages(c.ListImagesRequest()).images
    item, told = named(images, ref)[0], b""
    try:
        told = conn.control.GetImageHistory(c.GetImageHistoryRequest(ref=item.id)).configuration
    except SwarmError as problem:
        click.echo(f"Warning: image {ref}: its configuration is not shown: {problem}", err=True)
    return page(item, images, told)
