"""A test archive of Grafana's shape whose program is the stand-in.

python -m tests.servers.grafana_api.archive --version VERSION TARGET.tar.gz

The program runs with the host's own Python and brings PyYAML along. It is no Grafana, and its
README says so.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import tempfile
from pathlib import Path

import yaml
from tests.servers.grafana_api.server import VERSION

HERE = Path(__file__).resolve().parent
PACKAGE = "tests/servers/grafana_api"
# How queries are filled in and answers read, as in tests of the dashboards.
SHARED = ("tests/dashboards/annotated_csv.py", "tests/dashboards/interpolation.py")
PROGRAM = """\
#!/usr/bin/python3
import runpy, sys
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lib"))
runpy.run_module("tests.servers.grafana_api", run_name="__main__", alter_sys=True)
"""
README = f"""\
This is no Grafana. It is a stand-in of the part of Grafana's documented HTTP API (version
{VERSION}) that hostpulse uses, for tests of hostpulse's roles. PyYAML in lib/ is under the MIT
licence.
"""
# What runs the tests, and what is of this machine.
NOT_PACKED = shutil.ignore_patterns("__pycache__", "archive.py", "local.py", "defaults.ini")
PROVISIONED = ("access-control", "alerting", "dashboards", "datasources", "plugins")


def lay_out(top: Path, version: str) -> None:
    """Write the files of the archive below ``top``."""
    shutil.copytree(HERE, top / "lib" / PACKAGE, ignore=NOT_PACKED)
    for name in SHARED:
        (top / "lib" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(HERE.parents[2] / name, top / "lib" / name)
    shutil.copytree(
        Path(yaml.__file__).parent,
        top / "lib/yaml",
        ignore=shutil.ignore_patterns("__pycache__", "*.so"),
    )
    for kind in PROVISIONED:
        (top / "conf/provisioning" / kind).mkdir(parents=True)
    shutil.copy(HERE / "defaults.ini", top / "conf")
    (top / "public/views").mkdir(parents=True)
    (top / "public/views/index.html").write_text("<!DOCTYPE html><title>stand-in</title>\n")
    (top / "README.md").write_text(README)
    (top / "VERSION").write_text(version)
    program = top / "bin/grafana"
    program.parent.mkdir()
    program.write_text(PROGRAM)
    program.chmod(0o755)


def pack(target: Path, version: str) -> None:
    """Write the archive; the same files give the same bytes."""
    with tempfile.TemporaryDirectory() as folder:
        top = Path(folder) / f"grafana-{version}"
        top.mkdir()
        lay_out(top, version)
        packed = Path(folder) / "archive.tar"
        subprocess.run(
            ["tar", "--create", "--sort=name", "--owner=0", "--group=0", "--numeric-owner",
             "--mtime=@0", "--mode=u=rwX,go=rX", "--file", packed, "--directory", folder,
             top.name],
            check=True,
        )  # fmt: skip
        subprocess.run(["gzip", "--no-name", packed], check=True)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(packed.with_suffix(".tar.gz"), target)


def main() -> None:
    """Write the archive that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m tests.servers.grafana_api.archive")
    parser.add_argument("--version", default=VERSION)
    parser.add_argument("target", type=Path)
    given = parser.parse_args()
    pack(given.target, given.version)


if __name__ == "__main__":
    main()
