"""docs/metrics.md is written from the catalogues, and says so of every field."""

from __future__ import annotations

from pathlib import Path

from hostpulse_agent.collectors import CATALOGUES
from hostpulse_agent.collectors.document import DEFAULT, main, render

ROOT = Path(__file__).parents[3]


def test_the_committed_document_is_the_generated_one(tmp_path: Path) -> None:
    """Otherwise: run `python -m hostpulse_agent.collectors.document`."""
    main([str(tmp_path / "metrics.md")])
    assert (ROOT / DEFAULT).read_text() == (tmp_path / "metrics.md").read_text()


def test_every_field_has_its_row() -> None:
    """Name, unit, meaning and range."""
    text = render()
    for catalogue in CATALOGUES:
        for name, field in catalogue.fields.items():
            assert f"| `{name}` | {field.unit} | {field.meaning} |" in text
