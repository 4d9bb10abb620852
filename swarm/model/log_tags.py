"""What a container calls its output: the tag of `--log-opt tag=TEXT`, with Docker's placeholders. Pure."""

import re
from collections.abc import Iterator, Mapping

FIELDS = ("ID", "FullID", "Name", "ImageName", "ImageID", "ImageFullID", "DaemonName")

_PLACEHOLDER = re.compile(r"\{\{-?\s*\.(\w+)\s*-?\}\}")


def tag_problems(tag: str) -> Iterator[str]:
    """Yield what cannot be filled in."""
    known = ", ".join(f"{{{{.{one}}}}}" for one in FIELDS)
    for name in _PLACEHOLDER.findall(tag):
        if name not in FIELDS:
            yield f"log tag: there is no {{{{.{name}}}}}; known: {known}"
    if "{{" in _PLACEHOLDER.sub("", tag):
        yield f"log tag {tag}: only {known} can stand between braces"


def filled(tag: str, values: Mapping[str, str]) -> str:
    """Return the tag with the values of its placeholders; one that is not known is empty."""
    return _PLACEHOLDER.sub(lambda match: values.get(match[1], ""), tag)
