"""`build` of Compose services: what has to be built before a stack is deployed."""

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass

from swarm.compose import values
from swarm.compose.tree import Tree


@dataclass(frozen=True, slots=True)
class Build:
    """An image to build; paths are absolute."""

    service: str
    image: str
    context: str  # a folder, or an address
    dockerfile: str = ""  # empty: the one of the context
    inline: str = ""  # the text of the Dockerfile, instead of a file
    arguments: tuple[str, ...] = ()  # KEY=VALUE
    labels: tuple[str, ...] = ()
    target: str = ""
    platform: str = ""
    no_cache: bool = False
    pull: bool = False
    tags: tuple[str, ...] = ()  # more names of the image


def image_of(stack: str, name: str, service: Tree) -> str:
    """Return the image of a service; one that is built has a name without being given one.

    Raises InvalidArgument when neither image nor build is said.
    """
    image = service.get("image")
    if image is not None and values.text(image):
        return values.text(image)
    if service.get("build") is None:
        raise service.problem(f"services.{name}: image must be said, or build")
    return f"{stack}-{name}"


def builds(stack: str, services: Tree, variables: Mapping[str, str]) -> list[Build]:
    """Return what the services of a stack want built, in their order; raises InvalidArgument."""
    return [
        _build(stack, name, service, entry, variables)
        for name, service in services.entries.items()
        if (entry := service.get("build")) is not None
    ]


def _build(stack: str, name: str, service: Tree, entry: Tree, variables: Mapping[str, str]) -> Build:
    context, inline = entry.get("context"), entry.get("dockerfile_inline")
    dockerfile, platforms = entry.get("dockerfile"), values.texts(entry.get("platforms"))
    if context is None:
        raise entry.problem("context must be said: the folder to build from")
    if inline is not None and dockerfile is not None:
        raise dockerfile.problem("say dockerfile or dockerfile_inline, not both")
    if len(platforms) > 1:
        raise entry.problem("an image is built for one platform at a time: say one of platforms")
    where = values.text(context)
    return Build(
        service=name,
        image=image_of(stack, name, service),
        context=where,
        dockerfile="" if dockerfile is None else _inside(values.text(dockerfile), where),
        inline="" if inline is None else values.text(inline),
        arguments=_arguments(entry.get("args"), variables),
        labels=tuple(f"{key}={value}" for key, value in values.mapping(entry.get("labels")).items()),
        target=_text(entry.get("target")),
        platform=platforms[0] if platforms else _text(service.get("platform")),
        no_cache=_truth(entry.get("no_cache")),
        pull=_truth(entry.get("pull")),
        tags=tuple(values.texts(entry.get("tags"))),
    )


def _inside(dockerfile: str, context: str) -> str:
    """Return the path of a Dockerfile: from the context, if that is a folder."""
    return dockerfile if "://" in context else posixpath.normpath(posixpath.join(context, dockerfile))


def _arguments(args: Tree | None, variables: Mapping[str, str]) -> tuple[str, ...]:
    """Return KEY=VALUE; one without value has that of the surroundings, or is left out."""
    found = []
    for key, entry in args.entries.items() if args is not None else ():
        if entry.value is not None:
            found.append(f"{key}={values.text(entry)}")
        elif key in variables:
            found.append(f"{key}={variables[key]}")
    return tuple(found)


def _text(entry: Tree | None) -> str:
    return "" if entry is None else values.text(entry)


def _truth(entry: Tree | None) -> bool:
    return entry is not None and values.truth(entry)
