"""Files generated from the catalogues: docs/metrics.md, and the names that the server knows."""

from __future__ import annotations

from pathlib import Path

import pytest
from tools.docs.agent_metrics import WRITTEN, main, render

from hostpulse_agent.collectors import CATALOGUES

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("place", WRITTEN)
def test_what_is_committed_is_what_is_generated(tmp_path: Path, place: str) -> None:
    """Otherwise: run `python -m tools.docs.agent_metrics`."""
    for one in WRITTEN:
        (tmp_path / one).parent.mkdir(parents=True)
    main([str(tmp_path)])
    assert (ROOT / place).read_text() == (tmp_path / place).read_text()


def test_every_field_has_its_row() -> None:
    """Name, unit, meaning and range."""
    text = render()
    for catalogue in CATALOGUES:
        for name, field in catalogue.fields.items():
            assert f"| `{name}` | {field.unit} | {field.meaning} |" in text
