"""Instructions of a Dockerfile over the settings of a container that becomes an image."""

from typing import Any

import pytest

from swarm.errors import InvalidArgument
from swarm.model.image_changes import with_changes

BEFORE: dict[str, Any] = {"Cmd": ["old"], "Env": ["A=1", "B=2"], "Labels": {"x": "1"}, "WorkingDir": "/srv"}


@pytest.mark.parametrize(
    ("line", "key", "value"),
    [
        ('CMD ["serve", "--debug"]', "Cmd", ["serve", "--debug"]),
        ("cmd serve --debug", "Cmd", ["/bin/sh", "-c", "serve --debug"]),
        ("CMD [ -f /x ]", "Cmd", ["/bin/sh", "-c", "[ -f /x ]"]),
        ('ENTRYPOINT ["/init"]', "Entrypoint", ["/init"]),
        ("ENTRYPOINT []", "Entrypoint", []),
        ("CMD []", "Cmd", []),
        ('ENV B=3 C="with space"', "Env", ["A=1", "B=3", "C=with space"]),
        ("ENV B all of this", "Env", ["A=1", "B=all of this"]),
        ("LABEL x=2 y=3", "Labels", {"x": "2", "y": "3"}),
        (
            "EXPOSE 80 53/UDP 8000-8001",
            "ExposedPorts",
            {one: {} for one in ("80/tcp", "53/udp", "8000/tcp", "8001/tcp")},
        ),
        ('VOLUME ["/data"]', "Volumes", {"/data": {}}),
        ("VOLUME /a /b", "Volumes", {"/a": {}, "/b": {}}),
        ("USER web:web", "User", "web:web"),
        ("WORKDIR app", "WorkingDir", "/srv/app"),
        ("WORKDIR /app", "WorkingDir", "/app"),
        ("STOPSIGNAL SIGQUIT", "StopSignal", "SIGQUIT"),
        ("ONBUILD RUN make", "OnBuild", ["RUN make"]),
        ("HEALTHCHECK NONE", "Healthcheck", {"Test": ["NONE"]}),
        (
            "HEALTHCHECK --interval=1m30s --retries=2 CMD curl -f localhost",
            "Healthcheck",
            {"Test": ["CMD-SHELL", "curl -f localhost"], "Interval": 90 * 10**9, "Retries": 2},
        ),
        ('HEALTHCHECK CMD ["/check"]', "Healthcheck", {"Test": ["CMD", "/check"]}),
    ],
)
def test_an_instruction_changes_what_it_is_about(line: str, key: str, value: object) -> None:
    found = with_changes(BEFORE, [line])
    assert found[key] == value
    gone = {"Cmd"} if key == "Entrypoint" else set()  # it was the argument of the other one
    assert {k: v for k, v in found.items() if k != key} == {
        k: v for k, v in BEFORE.items() if k not in {key, *gone}
    }


def test_a_command_given_with_an_entry_point_stays_whatever_their_order() -> None:
    found = with_changes(BEFORE, ['CMD ["serve"]', "ENTRYPOINT []"])
    assert (found["Cmd"], found["Entrypoint"]) == (["serve"], [])


def test_later_instructions_win() -> None:
    found = with_changes(BEFORE, ['ENTRYPOINT ["/init"]', "CMD run", "USER a", "USER b"])
    assert (found["Cmd"], found["User"]) == (["/bin/sh", "-c", "run"], "b")
    assert BEFORE["Cmd"] == ["old"]


@pytest.mark.parametrize(
    "line",
    [
        *("RUN make", "", "CMD", "ENV =x", "ENV A=1 B", "EXPOSE web", "EXPOSE 0", "EXPOSE 90-80"),
        *("EXPOSE 70000", "LABEL x", "HEALTHCHECK --interval=soon CMD x", "HEALTHCHECK curl", 'ENV A="x'),
    ],
)
def test_what_is_no_such_instruction_is_refused_by_its_own_words(line: str) -> None:
    with pytest.raises(InvalidArgument, match="--change"):
        with_changes(BEFORE, [line])
