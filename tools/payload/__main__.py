"""Command line of the payload build; prints JSON, ``{"changed": [names]}``, for the playbook."""

from __future__ import annotations

import argparse
import fcntl
import json
import sys
from pathlib import Path

from tools.payload.build import AGENT, BACKUP, CACHE, ROOT, SERVER, build
from tools.payload.wheelhouse import PayloadError


def main() -> int:
    """Build the payloads and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tools.payload", description=__doc__)
    parser.add_argument(
        "--output", type=Path, help="write OUTPUT/agent, /backup and /server instead"
    )
    parser.add_argument("--suffix", default="", help="append to the versions, for example .post1")
    parser.add_argument("--check", action="store_true", help="only tell what would be built")
    parser.add_argument("--cache", type=Path, default=CACHE / "wheels")
    args = parser.parse_args()
    changed = []
    args.cache.mkdir(parents=True, exist_ok=True)
    with (args.cache / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two builds at once would replace one payload twice
        for product, role in ((AGENT, "agent"), (BACKUP, "backup"), (SERVER, "server")):
            inside = ROOT / "roles" / f"hostpulse_{role}" / "files" / "payload"
            output = args.output / role if args.output else inside
            try:
                if build(product, output, cache=args.cache, suffix=args.suffix, check=args.check):
                    changed.append(product.name)
            except (PayloadError, ValueError) as error:
                print(f"{product.name}: {error}", file=sys.stderr)
                return 1
    print(json.dumps({"changed": changed}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
