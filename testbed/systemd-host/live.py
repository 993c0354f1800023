#!/usr/bin/env python3
"""Wait until the demo's hosts deliver, then print their newest values as a table."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from reader import Reader, ReaderError

# heading, unit, measurement, field, further parameters
COLUMNS: tuple[tuple[str, str, str, str, dict[str, str]], ...] = (
    ("cpu", "%", "cpu", "usage_percent", {"tag.core": "total"}),
    ("memory", "%", "memory", "used_percent", {}),
    ("disk /", "%", "disk", "used_percent", {"tag.mount": "/"}),
    ("load1", "", "system", "load1", {}),
    ("received", "kB/s", "network", "rx_bytes_per_second", {"tag.interface": "eth0"}),
)
RECENT = "-2m"


def rows(reader: Reader, hosts: list[str]) -> dict[str, list[float | None]]:
    """Return the newest value of every column by host; None where there is none yet."""
    columns = [
        reader.last(measurement, field, start=RECENT, **where)
        for _, _, measurement, field, where in COLUMNS
    ]
    return {host: [column.get(host) for column in columns] for host in hosts}


def show(table: dict[str, list[float | None]]) -> None:
    """Print the table."""
    width = max(len(host) for host in table) + 2
    print(" " * width + "".join(f"{heading:>12}" for heading, *_ in COLUMNS))
    for host, values in table.items():
        cells = []
        for value, (_, unit, *_) in zip(values, COLUMNS, strict=True):
            scaled = None if value is None else value / 1000 if unit == "kB/s" else value
            cells.append("-" if scaled is None else f"{scaled:.1f} {unit}".strip())
        print(f"{host:<{width}}" + "".join(f"{cell:>12}" for cell in cells))


def main() -> int:
    """Poll until no host lacks a value; exit code 1 with what is missing when time is up."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", required=True, help="server's name in its certificate")
    parser.add_argument("--port", type=int, required=True, help="published on 127.0.0.1")
    parser.add_argument("--ca-file", type=Path, required=True)
    parser.add_argument("--key-file", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=90.0)
    parser.add_argument("hosts", nargs="+")
    given = parser.parse_args()
    reader = Reader(
        given.name,
        ("127.0.0.1", given.port),
        given.ca_file,
        given.key_file.read_text(encoding="ascii").strip(),
    )
    deadline = time.monotonic() + given.seconds
    missing, why = list(given.hosts), ""
    while True:
        try:
            table = rows(reader, given.hosts)
            missing = [host for host, values in table.items() if None in values]
            why = "no recent sample"
        except ReaderError as error:
            why = str(error)
        if not missing:
            show(table)
            return 0
        if time.monotonic() > deadline:
            print(f"after {given.seconds:.0f} s: {', '.join(missing)}: {why}", file=sys.stderr)
            return 1
        time.sleep(1)


if __name__ == "__main__":
    sys.exit(main())
