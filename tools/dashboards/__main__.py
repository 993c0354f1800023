"""``python -m tools.dashboards`` writes the dashboards; an argument names another folder."""

from __future__ import annotations

import sys
from pathlib import Path

from tools.dashboards import alerts, layout, overview, pipeline_health, server_detail

FOLDER = Path(__file__).resolve().parents[2] / "grafana" / "dashboards"
DASHBOARDS = (overview, server_detail, pipeline_health, alerts)


def generated() -> dict[str, str]:
    """Return file name → text of every dashboard."""
    return {f"{one.UID}.json": layout.text(one.document()) for one in DASHBOARDS}


def main(folder: Path = FOLDER) -> None:
    """Write all of them; a file that is none of them any more goes."""
    made = generated()
    for name, text in made.items():
        (folder / name).write_text(text, encoding="utf-8")
    for path in folder.glob("*.json"):
        if path.name not in made:
            path.unlink()


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
