"""Golden files: whole texts that somebody has looked through, a folder beside the test file.

    assert text == golden(__file__, "grafana.ini", text)

With HOSTPULSE_WRITE_GOLDEN=1 the files are written anew: ``git diff`` shows what changed.
"""

from __future__ import annotations

import os
from pathlib import Path

WRITE = "HOSTPULSE_WRITE_GOLDEN"


def golden(test_file: str, name: str, text: str) -> str:
    """Return ``golden/NAME`` beside a test file; it becomes ``text`` where that is wanted."""
    path = Path(test_file).parent / "golden" / name
    if os.environ.get(WRITE) == "1":
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert path.exists(), f"{path} is not there; {WRITE}=1 pytest {test_file} writes it"
    return path.read_text(encoding="utf-8")
