"""Files of this machine on their way into a container."""

import io
import os
import socket
import tarfile
from pathlib import Path

import pytest

from swarm.cli.archive import pack
from swarm.errors import InvalidArgument


def test_what_cannot_be_copied_is_left_out_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # names of sockets are short
    Path("tree/below").mkdir(parents=True)
    Path("tree/a").write_text("a")
    Path("tree/link").symlink_to("nowhere")
    Path("tree/twice").hardlink_to("tree/a")
    os.mkfifo("tree/below/pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("tree/socket")
        for name, inside in (("", ""), ("new", "new/")):
            sink = io.BytesIO()
            left_out = pack(Path("tree"), name, sink)
            sink.seek(0)
            with tarfile.open(fileobj=sink) as tar:
                found = {entry.name for entry in tar} - {"new"}
            assert found == {f"{inside}{one}" for one in ("a", "below", "link", "twice")}
            assert sorted(left_out) == [
                f"'tree/{one}' is neither a file, a directory nor a link: left out"
                for one in ("below/pipe", "socket")
            ]
        with pytest.raises(InvalidArgument, match="nothing was copied: 'tree/socket' is neither a file"):
            pack(Path("tree/socket"), "new", io.BytesIO())
