"""Files that were looked through once, and that what is rendered is compared with.

    assert text == golden("grafana.ini", text)

With HOSTPULSE_WRITE_GOLDEN=1 the files are written anew: ``git diff`` shows what changed.
"""

from __future__ import annotations

import os
from pathlib import Path

FOLDER = Path(__file__).parent / "golden"
WRITE = "HOSTPULSE_WRITE_GOLDEN"


def golden(name: str, text: str) -> str:
    """Return the golden file of a name; it becomes ``text`` where the environment wants that."""
    path = FOLDER / name
    if os.environ.get(WRITE) == "1":
        path.write_text(text, encoding="utf-8")
    return path.read_text(encoding="utf-8")
