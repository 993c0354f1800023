"""What the agent role renders is what the agent and systemd read."""

from __future__ import annotations

import configparser
from typing import TYPE_CHECKING, Any

import pytest
from hostpulse_agent import config as agent_config
from tests.templates.render import render

if TYPE_CHECKING:
    from pathlib import Path

AWKWARD = 'a "quoted" \\ back\\slash, ünïcode 🖥, {{ braces }} and a # hash'


def load(directory: Path, **given: Any) -> agent_config.AgentConfig:
    """Render the configuration and read it with the agent's own loader."""
    (directory / "ca.pem").touch()
    given.setdefault("__hostpulse_agent_ca_file", "ca.pem")
    path = directory / "agent.toml"
    path.write_text(render("hostpulse_agent", "agent.toml.j2", **given), encoding="utf-8")
    return agent_config.load(str(path), {})


def test_the_defaults_render_to_the_agents_own_defaults(tmp_path: Path) -> None:
    """A role without a setting leaves every choice to the program."""
    config = load(tmp_path)
    assert config.server_id == "web-01"
    assert config.server.urls == ("https://Monitor:8443",)
    assert config.sampling == agent_config.SamplingConfig()
    assert config.spool == agent_config.SpoolConfig()
    assert config.collectors == agent_config.CollectorsConfig()


def test_settings_reach_the_agent_at_every_depth(tmp_path: Path) -> None:
    """Numbers, lists, nested sections and text with every special character arrive unchanged."""
    config = load(
        tmp_path,
        hostpulse_agent_urls=["https://one.example:8443", "https://two.example:8443"],
        hostpulse_agent_settings={
            "server": {"proxy_url": "http://proxy.example:3128"},
            "sampling": {"interval": "5s"},
            "spool": {"max_samples": 77, "max_bytes": "1GiB", "path": f"/var/lib/{AWKWARD}"},
            "collectors": {
                "cpu": {"per_core": "off"},
                "disk": {"exclude_mounts": [r"^/mnt/[a-z]+\d$", '"'], "interval": "1m"},
                "processes": {"top": 0},
            },
        },
    )
    assert config.server.urls == ("https://one.example:8443", "https://two.example:8443")
    assert config.server.key_file == "agent.key"
    assert config.server.proxy_url == "http://proxy.example:3128"
    assert config.sampling.interval == 5.0
    assert config.spool.max_samples == 77
    assert config.spool.max_bytes == 1 << 30
    assert config.spool.path == f"/var/lib/{AWKWARD}"
    assert config.collectors.cpu.per_core == "off"
    assert config.collectors.disk.exclude_mounts == (r"^/mnt/[a-z]+\d$", '"')
    assert config.collectors.disk.interval == 60.0
    assert config.collectors.processes.top == 0


@pytest.mark.parametrize("version", ["247", "252", "257"])
def test_the_unit_uses_what_its_systemd_knows(version: str) -> None:
    """Debian 11's systemd gets no key that it would warn about; newer ones back off."""
    text = render(
        "hostpulse_agent",
        "hostpulse-agent.service.j2",
        ansible_facts={"systemd": {"version": version}},
    )
    unit = configparser.ConfigParser(strict=False, interpolation=None, allow_no_value=False)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string(text)
    assert ("RestartSteps" in unit["Service"]) is (int(version) >= 254)
    assert unit["Service"]["Type"] == "notify"
    assert unit["Service"]["Restart"] == "always"
    assert unit["Service"]["User"] == "hostpulse-agent"
    assert unit["Unit"]["X-Hostpulse-Release"] == "0.1.0+01234567"
