"""What an image reference means: which registry, which repository, which tag or digest."""

import re
from dataclasses import dataclass, replace

from swarm.errors import InvalidArgument
from swarm.model.limits import IMAGE_CHARACTERS

DEFAULT_REGISTRY = "docker.io"
DEFAULT_NAMESPACE = "library"
DEFAULT_TAG = "latest"
NAME_LIMIT = IMAGE_CHARACTERS.value

_SAID_MAX = 4 * NAME_LIMIT  # of an error: escapes are longer than what they stand for
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_PATH = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_REGISTRY = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9a-fA-F:.]+\])(?::[0-9]{{1,5}})?")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")
_IMAGE_ID = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Reference:
    """A complete reference; `str()` gives the normal form, e.g. `docker.io/library/web:1`."""

    registry: str
    repository: str
    tag: str = ""
    digest: str = ""

    @property
    def name(self) -> str:
        """Return registry and repository, without tag and digest."""
        return f"{self.registry}/{self.repository}"

    @property
    def familiar(self) -> str:
        """Return what people type: without the default registry and namespace; the tag is kept."""
        short = self.repository.removeprefix(f"{DEFAULT_NAMESPACE}/")
        for name in (short, self.repository):
            # Only what is read back as the same: docker.io/localhost/web is not localhost/web.
            if _split_registry(name) == (self.registry, self.repository) and not _IMAGE_ID.fullmatch(name):
                return name + self._suffix()
        return str(self)

    def with_digest(self, digest: str) -> "Reference":
        """Return the same reference pinned to `digest`."""
        return replace(self, digest=digest)

    def __str__(self) -> str:
        return self.name + self._suffix()

    def _suffix(self) -> str:
        return (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")


def begins_digest(digest: str, text: str) -> bool:
    """Whether `text` is an image's digest or its beginning, as lists show it: with sha256: or without."""
    given = text.removeprefix("sha256:")
    return bool(given) and digest.removeprefix("sha256:").startswith(given)


def is_tag(text: str) -> bool:
    """Whether a text may be the tag of an image."""
    return _TAG.fullmatch(text) is not None


def parse_reference(text: str) -> Reference:
    """Return what `text` refers to; without tag and digest it means `latest`.

    Raises InvalidArgument with the part that is wrong.
    """
    rest, at, digest = text.partition("@")
    if at and not _DIGEST.fullmatch(digest):
        raise _invalid(text, f'"{digest}" is not a digest (sha256: and 64 hexadecimal digits)')
    rest, tag = _split_tag(rest)
    if tag is not None and not is_tag(tag):
        raise _invalid(text, f'"{tag}" is not a tag (letters, digits, "_", "." and "-", at most 128)')
    registry, repository = _split_registry(rest)
    if not _REGISTRY.fullmatch(registry):
        raise _invalid(text, f'"{registry}" is not a registry (HOST or HOST:PORT)')
    if not _PATH.fullmatch(repository):
        why = "a repository is lower-case letters and digits, with . _ - or / between them"
        raise _invalid(text, f'"{repository}" is not a repository: {why}')
    if _IMAGE_ID.fullmatch(rest):
        raise _invalid(text, "64 hexadecimal digits are an image id, not a name")
    if len(f"{registry}/{repository}") > NAME_LIMIT:
        raise _invalid(text, f"the name is longer than {NAME_LIMIT} characters ({IMAGE_CHARACTERS.name})")
    return Reference(registry, repository, tag or ("" if digest else DEFAULT_TAG), digest)


def parse_repository(text: str) -> Reference:
    """Return what a name without tag and digest refers to: all images of it; raises InvalidArgument."""
    parsed = parse_reference(text)
    if parsed.digest or _split_tag(text)[1] is not None:
        raise _invalid(text, "all tags of a name are meant, so leave the tag out")
    return replace(parsed, tag="")


def _split_tag(rest: str) -> tuple[str, str | None]:
    head, colon, tail = rest.rpartition(":")
    if not colon or "/" in tail or tail.endswith("]"):  # the colon belongs to a registry's port or address
        return rest, None
    return head, tail


def _split_registry(rest: str) -> tuple[str, str]:
    first, slash, others = rest.partition("/")
    named = slash and (
        any(mark in first for mark in ".:[") or first == "localhost" or first != first.lower()
    )
    registry, repository = (first, others) if named else (DEFAULT_REGISTRY, rest)
    if registry == "index.docker.io":
        registry = DEFAULT_REGISTRY
    if registry == DEFAULT_REGISTRY and "/" not in repository:
        repository = f"{DEFAULT_NAMESPACE}/{repository}"
    return registry, repository


def _invalid(text: str, why: str) -> InvalidArgument:
    said = f'invalid image reference "{text[:NAME_LIMIT]}": {why[: 2 * NAME_LIMIT]}'
    # It may come from an archive or a file of somebody else, and be shown on a terminal.
    return InvalidArgument(
        "".join(one if one.isprintable() else ascii(one)[1:-1] for one in said)[:_SAID_MAX]
    )
