"""Tests run against the versions that production installs, and build what may be built."""

from __future__ import annotations

import re
import tomllib

import pytest
from tests.policy.repository import ROOT, load, tracked


@pytest.mark.parametrize("engine", ["grafana", "influxdb"])
def test_tests_run_the_version_that_the_role_installs(engine: str) -> None:
    """A default that nobody ran is a guess."""
    pinned = tomllib.loads((ROOT / "testbed" / engine / "engine.toml").read_text())
    defaults = load(ROOT / f"roles/hostpulse_{engine}/defaults/main.yml")
    assert pinned["version"] == defaults[f"hostpulse_{engine}_version"]


@pytest.mark.parametrize("document", ["docs/grafana.md", "docs/install.md"])
def test_documents_name_the_archive_that_is_fetched_for_tests(document: str) -> None:
    """The address has a number of the vendor's, and the sum belongs to it."""
    pinned = tomllib.loads((ROOT / "testbed/grafana/engine.toml").read_text())
    known = {"version": pinned["version"], "machine": "amd64"}
    url = pinned["url"].format(archive=pinned["archive"].format(**known), **known)
    text = (ROOT / document).read_text(encoding="utf-8")
    assert f"hostpulse_grafana_archive: {url}\n" in text
    assert f"hostpulse_grafana_sha256: {pinned['sha256']['amd64']}\n" in text


def test_grafana_is_built_from_nobodys_sources() -> None:
    """Its server is under the AGPL: no module of it is named, and its engine has no recipe."""
    module = re.compile(r"github\.com/grafana/grafana(?![\w-])")
    naming = [
        str(path.relative_to(ROOT))
        for path in tracked()
        if module.search(path.read_text(encoding="utf-8", errors="replace"))
    ]
    assert not naming
    assert {path.name for path in (ROOT / "testbed/grafana").iterdir()} - {"__pycache__"} == {
        "engine.toml",
        "local.py",
    }
