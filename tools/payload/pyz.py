"""A package without dependencies as one file that Python runs: a zipapp."""

from __future__ import annotations

from typing import TYPE_CHECKING
from zipfile import ZIP_STORED, ZipFile, ZipInfo

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

# The oldest time that a zip file can hold, for every member; with modes and the order fixed too,
# and nothing compressed (zlibs differ), the same content gives the same bytes on any machine.
MOMENT = (1980, 1, 1, 0, 0, 0)
UNIX = 3
MODE = 0o100644


def write(target: Path, module: str, content: Mapping[str, bytes]) -> None:
    """Write the files of a package, by their names below its source folder, as a zipapp.

    The package's own ``__main__.py`` is what runs. ``zipapp`` of the standard library would take
    times and modes from the checkout.
    """
    members = {**content, "__main__.py": content[f"{module}/__main__.py"]}
    with target.open("wb") as file:
        file.write(b"#!/usr/bin/env python3\n")
        with ZipFile(file, "w", ZIP_STORED) as packed:
            for name in sorted(members):
                info = ZipInfo(name, MOMENT)
                info.create_system = UNIX
                info.external_attr = MODE << 16
                packed.writestr(info, members[name])
    target.chmod(0o644)
