"""Default paths."""

from __future__ import annotations

from pathlib import Path
from typing import Final

DEFAULT_CONFIG: Final = Path("/etc/hostpulse/server.toml")
