"""What a Dockerfile says, as far as it matters before a builder reads it. Pure."""

import re
from collections.abc import Iterator, Mapping

_CONTINUED = re.compile(r"\\[ \t]*\n")
_STEP = re.compile(r"\s*(?P<word>[A-Za-z]+)\s+(?P<rest>.*)")
_NAME = re.compile(r"\$\{?([A-Za-z_][A-Za-z0-9_]*)")
_VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)(?::?-([^}]*))?\})")
_FROM_ANOTHER = re.compile(r"(?:^|[\s,])(?:--)?from=([^\s,]+)")
_BELIEVED_WRONGLY = frozenset({"ENV", "EXPOSE", "LABEL", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR"})


def is_believed_wrongly(dockerfile: str) -> bool:
    """Whether a step means something else with other arguments, in the same words.

    buildah takes a step from its cache whose words are the same. `ENV V=$VERSION` are the same words with
    another `--build-arg VERSION=…`, and nobody looks at what they mean: the image would say what an earlier
    build was given (issue 5501 of buildah). What RUN, COPY and ADD do with arguments it compares well.
    """
    arguments: set[str] = set()
    for word, rest in _steps(dockerfile):
        if word == "ARG":
            arguments.update(part.partition("=")[0] for part in rest.split())
        elif word in _BELIEVED_WRONGLY and not arguments.isdisjoint(_NAME.findall(rest)):
            return True
    return False


def base_images(dockerfile: str, given: Mapping[str, str]) -> list[str]:
    """Return the names of the images that a build takes from elsewhere, each once, as they are written.

    `given` are the build arguments. Stages of the file itself are none, nor is what cannot be known before.
    """
    values: dict[str, str] = {}
    stages: set[str] = set()
    found: dict[str, None] = {}
    count = 0
    for word, rest in _steps(dockerfile):
        names: list[str] = []
        stage = ""
        if word == "ARG" and not count:  # of the whole file
            for part in rest.split():
                name, _, default = part.partition("=")
                values[name] = given.get(name, _replaced(default.strip("\"'"), values))
        elif word == "FROM":
            count += 1
            words = [part for part in rest.split() if not part.startswith("--")]
            names = words[:1]
            stage = words[2].lower() if len(words) == 3 and words[1].upper() == "AS" else ""
        elif word in {"COPY", "RUN"}:
            names = [name for name in _FROM_ANOTHER.findall(rest) if not name.isdecimal()]
        for name in (_replaced(one, values) for one in names):
            if name and "$" not in name and name != "scratch" and name.lower() not in stages:
                found[name] = None
        stages.add(stage)
    return list(found)


def _steps(dockerfile: str) -> Iterator[tuple[str, str]]:
    for line in _CONTINUED.sub(" ", dockerfile).splitlines():
        if (found := _STEP.match(line)) is not None:
            yield found["word"].upper(), found["rest"]


def _replaced(text: str, values: Mapping[str, str]) -> str:
    def value(found: re.Match[str]) -> str:
        return values.get(found[1] or found[2]) or found[3] or ""

    return _VARIABLE.sub(value, text)
