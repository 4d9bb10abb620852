"""The pages for operators are true where a program can tell, and can be found."""

import re
from pathlib import Path

import pytest

from swarm.config import Settings
from swarm.model import ingress_ports
from swarm.model.defaults import DATA_PATH_PORT, TUNNEL_PORT
from swarm.model.http_routes import HTTP_PORT, HTTPS_PORT

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")


def port_of(address: str) -> str:
    return address.rpartition(":")[2]


def test_the_table_of_ports_has_the_defaults_of_the_code() -> None:
    settings = Settings()
    expected = {
        f"{port_of(settings.listen_addr)}/tcp",
        f"{port_of(settings.metrics_addr)}/tcp",
        f"{DATA_PATH_PORT}/udp",
        f"{TUNNEL_PORT}/udp",
        f"{ingress_ports.FIRST}-{ingress_ports.LAST}/tcp, udp",
        f"{HTTP_PORT}/tcp",
        f"{HTTPS_PORT}/tcp",
        "22/tcp",
    }
    rows = re.findall(r"^\| (\d[^|]*) \|", (DOCS / "operations/ports.md").read_text(), re.MULTILINE)
    assert set(rows) == expected
    assert len(rows) == len(expected)


def test_the_settings_that_pages_name_exist() -> None:
    names = set(Settings.__dataclass_fields__)
    for page in ("ports", "hardening", "sizing"):
        text = (DOCS / f"operations/{page}.md").read_text()
        named = set(re.findall(r"`([a-z]+_[a-z_]+)(?: = [^`]*)?`", text))
        assert named
        assert named <= names, page


def test_the_index_names_every_page() -> None:
    linked = set(LINK.findall((DOCS / "README.md").read_text()))
    pages = {
        str(path.relative_to(DOCS))
        for folder in (DOCS, DOCS / "operations")
        for path in folder.glob("*.md")
        if path != DOCS / "README.md"
    }
    assert pages - linked == set(), "give them a row in docs/README.md"


@pytest.mark.parametrize(
    "page",
    ["README.md", *(f"operations/{n}.md" for n in ("install", "ports", "sizing", "hardening", "vagrant"))],
)
def test_links_lead_somewhere(page: str) -> None:
    path = DOCS / page
    broken = [link for link in LINK.findall(path.read_text()) if not (path.parent / link).exists()]
    assert broken == []
