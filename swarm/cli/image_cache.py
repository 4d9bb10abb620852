"""May the builder's cache be believed? buildah takes a step from it whose words are the same. Pure.

`ENV V=$VERSION` are the same words with another `--build-arg VERSION=…`, and nobody looks at what they mean:
the image would say what an earlier build was given (issue 5501 of buildah). What RUN, COPY and ADD do with
arguments it compares well.
"""

import re

_CONTINUED = re.compile(r"\\[ \t]*\n")
_STEP = re.compile(r"\s*(?P<word>[A-Za-z]+)\s+(?P<rest>.*)")
_NAME = re.compile(r"\$\{?([A-Za-z_][A-Za-z0-9_]*)")
_BELIEVED_WRONGLY = frozenset({"ENV", "EXPOSE", "LABEL", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR"})


def is_believed_wrongly(dockerfile: str) -> bool:
    """Whether a step of a Dockerfile means something else with other arguments, in the same words."""
    arguments: set[str] = set()
    for line in _CONTINUED.sub(" ", dockerfile).splitlines():
        found = _STEP.match(line)
        if found is None:
            continue
        word, rest = found["word"].upper(), found["rest"]
        if word == "ARG":
            arguments.update(part.partition("=")[0] for part in rest.split())
        elif word in _BELIEVED_WRONGLY and not arguments.isdisjoint(_NAME.findall(rest)):
            return True
    return False
