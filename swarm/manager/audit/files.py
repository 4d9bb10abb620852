"""The audit trail of one manager on its disk: lines of JSON in a few files of bounded size."""

import json
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from google.protobuf.json_format import MessageToDict, ParseDict, ParseError

from swarm.api.v1.users_pb2 import AuditRecord
from swarm.model.limits import AUDIT_FILE_BYTES, AUDIT_FILES


class AuditFiles:
    """`trail` is being written, `trail.1` was before it, …; of a torn line at the end only that is lost."""

    def __init__(
        self, folder: Path, *, file_bytes: int = AUDIT_FILE_BYTES.value, files: int = AUDIT_FILES.value
    ) -> None:
        """Keep `files` of at most `file_bytes` (and one record more) in `folder`."""
        self._folder = folder
        self._file_bytes = file_bytes
        self._files = files

    def append(self, records: Iterable[AuditRecord]) -> None:
        """Write records, durably; raises OSError, and then some may have been written."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lines = b"".join(map(_line, records))
        descriptor = os.open(self._path(0), os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "ab", buffering=0) as file:
            size = file.seek(0, os.SEEK_END)
            if size and os.pread(descriptor, 1, size - 1) != b"\n":
                lines = b"\n" + lines  # the disk was full in the middle of a line
            written = 0
            while written < len(lines):
                written += os.write(descriptor, lines[written:])
            os.fsync(descriptor)
        if size + len(lines) >= self._file_bytes:
            self._begin_another()

    def read(self, wanted: Callable[[AuditRecord], bool]) -> list[AuditRecord]:
        """Return the records that are `wanted`, oldest first; what cannot be read is left out."""
        found: list[list[AuditRecord]] = []
        for number in range(self._files):  # one that gets its next number meanwhile is met twice
            try:
                with self._path(number).open("rb") as file:
                    found.append([one for one in _records(file) if wanted(one)])
            except FileNotFoundError:
                continue
        return [one for records in reversed(found) for one in records]

    def _begin_another(self) -> None:
        for number in reversed(range(self._files - 1)):
            path = self._path(number)
            if path.exists():
                path.replace(self._path(number + 1))

    def _path(self, number: int) -> Path:
        return self._folder / (f"trail.{number}" if number else "trail")


def _line(record: AuditRecord) -> bytes:
    told = MessageToDict(record, preserving_proto_field_name=True)
    return json.dumps(told, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


def _records(lines: Iterable[bytes]) -> Iterator[AuditRecord]:
    for line in lines:
        try:
            yield ParseDict(json.loads(line), AuditRecord(), ignore_unknown_fields=True)
        except (ValueError, ParseError):
            continue
