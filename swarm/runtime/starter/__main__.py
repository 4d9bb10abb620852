"""An OCI runtime in Python alone, for machines that have no other: `python -I -S swarm/runtime/starter`.

Understands what conmon, our own shim and the driver ask for: create, start, state, kill, delete, exec.
"""

import json
import os
import sys

sys.path.insert(0, os.path.abspath(__file__).rsplit("/", 4)[0])

from swarm.runtime.starter import state

VERSION = "1.0"
_FLAGS = frozenset({"--force", "-f", "--no-new-keyring", "--no-pivot", "--detach", "-d", "--version", "-v"})


def parse(words: list[str]) -> tuple[list[str], dict[str, str]]:
    """Return the words and the options of a command line: `--name=value`, `--name value`, known flags."""
    plain: list[str] = []
    options: dict[str, str] = {}
    rest = iter(words)
    for word in rest:
        if not word.startswith("-"):
            plain.append(word)
            continue
        name, equals, value = word.partition("=")
        if not equals and name not in _FLAGS:
            value = next(rest, "")
        options[name.lstrip("-")] = value
    return plain, options


def run(words: list[str], options: dict[str, str]) -> int:
    """Do what the command line says; return the exit code; raises Refused, OSError."""
    # Each verb loads what it needs: most of the time goes into that.
    root = options.get("root", "/run/swarm-starter")
    verb, container_id = words[0], words[1] if len(words) > 1 else ""
    if verb == "create":
        bundle = options.get("bundle") or os.getcwd()
        from swarm.runtime.starter import container

        files = options.get("pid-file", ""), options.get("console-socket", "")
        container.create(root, bundle, container_id, *files)
    elif verb == "start":
        state.start(root, container_id)
    elif verb == "state":
        sys.stdout.write(json.dumps(state.status(root, container_id)) + "\n")
    elif verb == "kill":
        state.signal_first(root, container_id, int(words[2]) if len(words) > 2 else 15)
    elif verb == "delete":
        state.delete(root, container_id, force="force" in options or "f" in options)
    elif verb == "exec":
        from swarm.runtime.starter import execute

        files = options.get("pid-file", ""), options.get("console-socket", "")
        return execute.execute(root, container_id, options["process"], *files)
    else:
        raise state.Refused(f"unknown command {verb}")
    return 0


def main() -> int:
    """Return the exit code; a complaint goes to the file of --log, or to stderr."""
    words, options = parse(sys.argv[1:])
    if "version" in options or "v" in options or not words:
        sys.stdout.write(f"swarm starter version {VERSION}\n")
        return 0
    try:
        return run(words, options)
    except (state.Refused, OSError, KeyError, ValueError) as error:
        complaint = state.readable(error)
        if options.get("log"):
            with open(options["log"], "a", encoding="utf-8") as file:
                file.write(complaint + "\n")
        else:
            sys.stderr.write(complaint + "\n")
        return 1


if __name__ == "__main__":
    sys.exit(main())
