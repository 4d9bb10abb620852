"""The examples of deployment use what there is: commands, options, settings, keys of cloud-init."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

from swarm.cli.main import cli
from swarm.config import Settings

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
CLOUD_CONFIG_KEYS = {"package_update", "packages", "write_files", "runcmd"}
USER_DATA = sorted((DEPLOY / "cloud-init").glob("*.yaml"))


@pytest.mark.parametrize("path", USER_DATA, ids=lambda path: path.stem)
def test_user_data_is_what_cloud_init_reads(path: Path) -> None:
    text = path.read_text()
    assert text.startswith("#cloud-config\n")
    config = yaml.safe_load(text)
    assert set(config) == CLOUD_CONFIG_KEYS
    written = {file["path"]: file for file in config["write_files"]}
    assert all(re.fullmatch("0[67]00", file["permissions"]) for file in written.values())
    assert {command[0] for command in config["runcmd"]} <= set(written)
    for command in config["runcmd"]:
        checked = subprocess.run(["sh", "-n"], input=written[command[0]]["content"], text=True, check=False)
        assert checked.returncode == 0


def test_every_command_of_the_examples_exists() -> None:
    used = set()
    for path in [*USER_DATA, *(DEPLOY / "ansible").glob("*.yaml")]:
        used |= set(re.findall(r"swarmctl (?:', ')?([a-z-]+)", path.read_text()))
        used |= set(re.findall(r"'swarmctl', '([a-z-]+)'", path.read_text()))
    assert {"init", "join", "join-token", "info"} <= used
    for name in used:
        assert cli.get_command(None, name) is not None, name  # type: ignore[arg-type]


@pytest.mark.parametrize("script", ["preinst", "postinst", "prerm", "postrm"])
def test_the_scripts_of_the_package_are_shell(script: str) -> None:
    assert subprocess.run(["sh", "-n", DEPLOY / "debian" / script], check=False).returncode == 0


def test_the_settings_in_the_packages_file_exist_and_are_the_defaults() -> None:
    text = (DEPLOY / "debian/swarmd.toml").read_text()
    assert tomllib.loads(text) == {}
    shown = tomllib.loads("\n".join(re.findall(r"(?m)^# (\w+ = .*)$", text)))
    assert set(shown) <= set(Settings.__dataclass_fields__)
    settings = Settings()
    for name in ("listen_addr", "metrics_addr", "log_level"):
        assert shown[name] == getattr(settings, name)
