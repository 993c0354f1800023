"""A vendor's site on loopback, and a copy of ``testbed/`` that fetches from it and nowhere else."""

from __future__ import annotations

import hashlib
import io
import shutil
import tarfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.http_server import QuietHandler, serving, url_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self

GET = Path(__file__).parents[2] / "testbed" / "get"
# Nothing listens there: a connection is refused at once.
CLOSED = "http://127.0.0.1:9"


class Vendor:
    """Answers with ``files`` by path, else 404; ``asked`` are the paths of the requests."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.asked: list[str] = []
        self._stack = ExitStack()
        self.url = ""  # where it listens, once it was entered

    def __enter__(self) -> Self:
        """Start."""
        self.url = url_of(self._stack.enter_context(serving(self._handler())))
        return self

    def __exit__(self, *_exc: object) -> None:
        """Stop."""
        self._stack.close()

    def _handler(self) -> type[QuietHandler]:
        vendor = self

        class Handler(QuietHandler):
            def respond(self) -> None:
                vendor.asked.append(self.path)
                body = vendor.files.get(self.path)
                self.reply(200 if body is not None else 404, body or b"")

        return Handler


def engines(folder: Path, url: str, sums: Mapping[str, str] | None = None) -> Path:
    """Make a copy of ``testbed/`` in ``folder``, whose Grafana is fetched from ``url``."""
    made = folder / "engines"
    (made / "grafana").mkdir(parents=True)
    shutil.copy(GET, made)
    (made / "grafana/engine.toml").write_text(
        'version = "1.2.3"\n'
        'archive = "grafana_{version}_77_linux.tar.gz"\n'
        f'url = "{url}/{{version}}/{{archive}}"\n'
        'downloads = "https://downloads.example.org"\n'
        'environment = "HOSTPULSE_GRAFANA_ARCHIVE"\n'
        'program = "bin/grafana"\n'
        "[sha256]\n"
        + "".join(f'{machine} = "{total}"\n' for machine, total in (sums or {}).items())
    )
    return made


def packed(files: Mapping[str, str] | None = None, /, **more: str) -> bytes:
    """Return an archive with these files in one top folder, and with a program called Grafana."""
    files = {"bin/grafana": "\x7fELF", **more} if files is None else files
    total = io.BytesIO()
    with tarfile.open(fileobj=total, mode="w:gz") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(f"./top-folder/{name}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content.encode()))
    return total.getvalue()


def sha256(content: bytes) -> str:
    """Return the sum as the vendor publishes it."""
    return hashlib.sha256(content).hexdigest()
