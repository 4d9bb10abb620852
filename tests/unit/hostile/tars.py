"""Tar archives that no program would write: every field is what a case says."""

import struct
import tarfile

BLOCK = 512
END = bytes(2 * BLOCK)
FILE, HARD, SOFT, CHAR, DEVICE, FOLDER, PIPE = b"0", b"1", b"2", b"3", b"4", b"5", b"6"
PAX, GLOBAL, LONG_NAME, LONG_LINK, SPARSE = b"x", b"g", b"L", b"K", b"S"


def octal(number: int, width: int) -> bytes:
    return b"%0*o\0" % (width - 1, number)


def binary(number: int, width: int) -> bytes:
    """A number as GNU writes those that do not fit: two's complement, the first bit set."""
    raw = bytearray((number % (1 << 8 * width)).to_bytes(width, "big"))
    raw[0] |= 0x80
    return bytes(raw)


def header(name: bytes, kind: bytes = FILE, **fields: bytes | int) -> bytes:
    """One block; numbers are written in octal, bytes as they are."""
    sizes = {"mode": 8, "uid": 8, "gid": 8, "size": 12, "mtime": 12, "major": 8, "minor": 8}
    given: dict[str, bytes] = {}
    for field, width in sizes.items():
        value = fields.get(field, 0o755 if field == "mode" else 0)
        given[field] = octal(value, width) if isinstance(value, int) else value
    link, tail = fields.get("link", b""), fields.get("tail", b"")
    assert isinstance(link, bytes)
    assert isinstance(tail, bytes)
    numbers = b"".join(given[field] for field in ("mode", "uid", "gid", "size", "mtime"))
    block = name.ljust(100, b"\0") + numbers + b" " * 8 + kind + link.ljust(100, b"\0")
    block += b"ustar  \0" if tail else b"ustar\x0000"
    block += bytes(64) + given["major"] + given["minor"] + (tail or bytes(155))
    return checked(block.ljust(BLOCK, b"\0"))


def checked(block: bytes) -> bytes:
    """The block with the checksum that it should have."""
    total = sum(block[:148]) + sum(block[156:]) + 8 * 32
    return block[:148] + b"%06o\0 " % total + block[156:]


def padded(content: bytes) -> bytes:
    return content + bytes(-len(content) % BLOCK)


def entry(name: bytes | str, kind: bytes = FILE, content: bytes = b"", **fields: bytes | int) -> bytes:
    raw = name.encode() if isinstance(name, str) else name
    return header(raw, kind, **{"size": len(content), **fields}) + padded(content)


def folder(name: str, **fields: bytes | int) -> bytes:
    return entry(name, FOLDER, **fields)


def soft(name: str, link: str) -> bytes:
    return entry(name, SOFT, link=link.encode())


def hard(name: str, link: str) -> bytes:
    return entry(name, HARD, link=link.encode())


def record(key: str, value: bytes | str) -> bytes:
    """One record of a PAX header, which begins with its own length."""
    raw = value.encode() if isinstance(value, str) else value
    body = b" %s=%s\n" % (key.encode(), raw)
    length = len(body) + 1
    while len(b"%d" % length) + len(body) != length:
        length += 1
    return b"%d" % length + body


def pax(*records: bytes, kind: bytes = PAX) -> bytes:
    return entry("pax", kind, b"".join(records))


def named(name: bytes | str, kind: bytes = FILE, content: bytes = b"", **fields: bytes | int) -> bytes:
    """An entry with a name of any length."""
    return pax(record("path", name)) + entry("x", kind, content, **fields)


def layer(*parts: bytes, end: bytes = END) -> bytes:
    return b"".join(parts) + end


def sparse_old(areas: list[tuple[int, int]], real: int, content: bytes, *, more: list[bytes] = []) -> bytes:  # noqa: B006
    """A file with holes as GNU tar wrote it first."""
    # Eight bytes each for two times, 12 + 4 + 1 for what nobody uses.
    tail = bytes(41) + b"".join(octal(offset, 12) + octal(size, 12) for offset, size in areas).ljust(
        96, b"\0"
    )
    tail += (b"\1" if more else b"\0") + octal(real, 12)
    block = header(b"sparse", SPARSE, size=len(content), tail=tail)
    block = checked(block[:345] + tail.ljust(167, b"\0"))
    return block + b"".join(more) + padded(content)


def sparse_map(areas: list[tuple[int, int]], *, last: bool = True) -> bytes:
    """A further block of such a map."""
    raw = b"".join(octal(offset, 12) + octal(size, 12) for offset, size in areas).ljust(504, b"\0")
    return raw + (b"\0" if last else b"\1") + bytes(7)


def sparse_new(numbers: bytes, real: int, content: bytes, name: str = "sparse") -> bytes:
    """A file with holes as GNU tar writes it in PAX archives today: the map before the content."""
    records = [
        record("GNU.sparse.major", "1"),
        record("GNU.sparse.minor", "0"),
        record("GNU.sparse.name", name),
        record("GNU.sparse.realsize", str(real)),
    ]
    return pax(*records) + entry("GNUSparseFile.0/x", content=padded(numbers) + content)


def capability() -> bytes:
    """The value of security.capability that gives cap_net_raw, with zero bytes in it as they are."""
    return struct.pack("<IIIII", 0x02000001, 1 << 13, 0, 0, 0)


assert tarfile.TarInfo.frombuf(header(b"a", size=3), "utf-8", "strict").size == 3
