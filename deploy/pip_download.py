"""Fetch pip's own wheel from the configured package index, for machines that have Python and nothing else.

Follows what pip itself would: PIP_INDEX_URL, PIP_CERT, pip.conf of user and system. Standard library only.
"""

import base64
import configparser
import hashlib
import os
import re
import ssl
import sys
import urllib.request
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin, urlsplit, urlunsplit

DEFAULT_INDEX = "https://pypi.org/simple"
_WHEEL = re.compile(r"pip-(\d+(?:\.\d+)*)-py3-none-any\.whl")


def download(folder: Path) -> Path:
    """Save the newest wheel of pip in `folder` and return its path; raises RuntimeError with what to do."""
    index = setting("index-url") or DEFAULT_INDEX
    page = f"{index.rstrip('/')}/pip/"
    try:
        links = wheels(fetch(page).decode(), page)
        if not links:
            raise RuntimeError(f"no wheel of pip at {hide_password(page)}")
        url, digest = urldefrag(max(links, key=version))
        content = fetch(url)
    except OSError as error:
        raise RuntimeError(
            f"cannot fetch pip from {hide_password(page)}: {error}; "
            "install the package python3-venv, or set PIP_INDEX_URL"
        ) from error
    if digest and digest != f"sha256={hashlib.sha256(content).hexdigest()}":
        raise RuntimeError("the fetched wheel of pip is damaged")
    path = folder / Path(urlsplit(url).path).name
    path.write_bytes(content)
    return path


def setting(name: str) -> str:
    """Return a setting of pip: from the environment, else from the configuration of user or system."""
    found = os.environ.get(f"PIP_{name.upper().replace('-', '_')}", "")
    for path in config_files():
        if found:
            break
        parser = configparser.RawConfigParser()
        parser.read(path)
        found = parser.get("install", name, fallback="") or parser.get("global", name, fallback="")
    return found


def config_files() -> "list[Path]":
    """Return where pip keeps its configuration, the one that counts most first."""
    home = Path.home()
    user = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config")
    named = os.environ.get("PIP_CONFIG_FILE", "")
    first = [Path(named)] if named else []
    return [*first, user / "pip/pip.conf", home / ".pip/pip.conf", Path("/etc/pip.conf")]


def fetch(url: str) -> bytes:
    """Return what is at a URL, with the name and password in it if there are any."""
    parts = urlsplit(url)
    bare = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    request = urllib.request.Request(bare, headers={"Accept": "text/html"})  # noqa: S310 the user chose the index
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        request.add_header("Authorization", f"Basic {base64.b64encode(pair.encode()).decode()}")
    context = ssl.create_default_context(cafile=setting("cert") or None)
    with urllib.request.urlopen(request, timeout=60, context=context) as response:  # noqa: S310
        return bytes(response.read())


def wheels(html: str, page: str) -> "list[str]":
    """Return the links to wheels of pip that run on this Python."""
    parser = _Links()
    parser.feed(html)
    return [
        urljoin(page, link)
        for link, python in parser.found
        if _WHEEL.search(link) and fits(python, sys.version_info[:2])
    ]


def fits(requirement: str, python: "tuple[int, ...]") -> bool:
    """Return whether a Python is new enough for a requirement like `>=3.9`; others count as met."""
    least = re.search(r">=\s*(\d+)\.(\d+)", requirement)
    return least is None or python >= (int(least[1]), int(least[2]))


def version(link: str) -> "tuple[int, ...]":
    """Return the version in a link to a wheel, for comparison."""
    found = _WHEEL.search(link)
    return tuple(map(int, found[1].split("."))) if found else ()


def hide_password(url: str) -> str:
    """Return a URL without name and password."""
    return re.sub(r"//[^/@]*@", "//", url)


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, str]] = []

    def handle_starttag(self, tag: str, attrs: "list[tuple[str, str | None]]") -> None:
        values = dict(attrs)
        if tag == "a" and values.get("href"):
            self.found.append((str(values["href"]), str(values.get("data-requires-python") or "")))
