"""Put a payload together: our wheel and those it needs, or a zipapp; hashes and a manifest."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any

from tools.payload import pins as pinned
from tools.payload import pyz
from tools.payload.wheelhouse import PayloadError, Wheelhouse, sha256

ROOT = Path(__file__).parents[2]
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "hostpulse")
INSTALLER = Path(__file__).with_name("installer.txt")
EPOCH = "1580601600"  # one moment for every file in a wheel, so that two builds are byte-equal
VERSION = re.compile(r'^(__version__ = ")([^"]+)(")$', re.MULTILINE)


@dataclass(frozen=True)
class Product:
    """One of our packages: where its sources are and which interpreters it serves."""

    name: str
    folder: str
    pythons: tuple[str, ...]  # those that wheels are carried for
    zipapp: bool = False  # one file without dependencies, instead of wheels

    @property
    def module(self) -> str:
        """Return the import name."""
        return self.name.replace("-", "_")

    @property
    def file(self) -> str:
        """Return the name of the zipapp."""
        return f"{self.name}.pyz"

    def sources(self) -> list[Path]:
        """Return every file that goes into the wheel or the zipapp, sorted."""
        base = ROOT / self.folder
        package = (path for path in (base / "src").rglob("*") if path.is_file())
        kept = [path for path in package if "__pycache__" not in path.parts]
        return sorted(kept if self.zipapp else [base / "pyproject.toml", base / "README.md", *kept])


AGENT = Product("hostpulse-agent", "agent", ("3.9", "3.10", "3.11", "3.12", "3.13"))
BACKUP = Product("hostpulse-backup", "backup", (), zipapp=True)
SERVER = Product("hostpulse-server", "app", ("3.11", "3.12", "3.13"))


def find_uv() -> str:
    """Return the path of uv: HOSTPULSE_UV, PATH, or the one that scripts/bootstrap keeps."""
    kept = [str(path) for path in sorted(CACHE.glob("uv-*/bin/uv"))]
    found = os.environ.get("HOSTPULSE_UV") or shutil.which("uv") or (kept[-1] if kept else None)
    if not found:
        raise PayloadError("uv is missing: run scripts/bootstrap, or set HOSTPULSE_UV to its path")
    return found


def requirements(product: Product) -> list[pinned.Pin]:
    """Return what the product needs, pinned: committed for the agent, from uv.lock else."""
    if product.zipapp:
        return []
    committed = ROOT / product.folder / "requirements.txt"
    if committed.exists():
        return pinned.parse(committed.read_text(encoding="utf-8"))
    command = [find_uv(), "export", "--quiet", "--package", product.name, "--frozen"]
    command += ["--no-emit-workspace", "--no-dev", "--no-header", "--no-annotate"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if result.returncode:
        message = f"uv export failed for {product.name}: {result.stderr.strip()}"
        raise PayloadError(message)
    return pinned.parse(result.stdout)


def stamp(product: Product, pins: list[pinned.Pin], suffix: str) -> str:
    """Return a hash of everything that a payload is made from."""
    digest = hashlib.sha256()
    tooling = [*sorted(Path(__file__).parent.glob("*.py")), INSTALLER]
    for path in [*product.sources(), *tooling]:
        digest.update(f"{path.relative_to(ROOT)}\0{sha256(path)}\n".encode())
    for pin in pins:
        digest.update(f"{pin.line} {sorted(pin.hashes)}\n".encode())
    digest.update(f"{suffix} {installed_version('hatchling')}".encode())
    return digest.hexdigest()


def current(output: Path, sources: str) -> bool:
    """Tell whether a payload made from these sources lies there whole."""
    try:
        manifest = json.loads((output / "manifest.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return False
    if manifest.get("sources") != sources:
        return False
    files = {path.name: path for path in output.rglob("*") if path.is_file()}
    files.pop("manifest.json")
    return set(files) == set(manifest["files"]) and all(
        sha256(files[name]) == digest for name, digest in manifest["files"].items()
    )


def with_suffix(product: Product, text: str, suffix: str) -> tuple[str, str]:
    """Return the version and the text of a package's ``__init__.py``, the suffix appended."""
    text, found = VERSION.subn(rf"\g<1>\g<2>{suffix}\g<3>", text)
    if found != 1:
        message = f'{product.module}/__init__.py wants one line __version__ = "…"'
        raise PayloadError(message)
    return VERSION.findall(text)[0][1], text


def build_wheel(product: Product, suffix: str, destination: Path) -> tuple[str, Path]:
    """Build our wheel from a clean copy of its sources; return its version and path."""
    with tempfile.TemporaryDirectory() as scratch:
        base = ROOT / product.folder
        for path in product.sources():
            copy = Path(scratch, path.relative_to(base))
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
        versioned = Path(scratch, "src", product.module, "__init__.py")
        _, text = with_suffix(product, versioned.read_text(encoding="utf-8"), suffix)
        versioned.write_text(text, encoding="utf-8")
        result = subprocess.run(
            [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(destination)],
            cwd=scratch,
            env={**os.environ, "SOURCE_DATE_EPOCH": EPOCH},
            capture_output=True,
            text=True,
            check=False,
        )
    wheels = list(destination.glob(f"{product.module}-*.whl"))
    if result.returncode or len(wheels) != 1:
        message = (
            f"hatchling did not build {product.name}: {(result.stderr or result.stdout)[-600:]}"
        )
        raise PayloadError(message)
    return wheels[0].name.split("-")[1], wheels[0]


def assemble(
    product: Product, pins: list[pinned.Pin], house: Wheelhouse, suffix: str, into: Path
) -> dict[str, Any]:
    """Fill an empty directory with a payload and return its manifest."""
    wheels = into / "wheels"
    wheels.mkdir(parents=True)
    version, ours = build_wheel(product, suffix, wheels)
    targets = pinned.targets(product.pythons)
    lines = [f"{product.name}=={version} --hash=sha256:{sha256(ours)}"]
    for pin, paths in sorted(house.collect(pins, targets).items(), key=lambda item: item[0].line):
        hashes = "".join(f" --hash=sha256:{digest}" for digest in sorted(map(sha256, paths)))
        lines.append(pin.line + hashes)
        for path in paths:
            shutil.copyfile(path, wheels / path.name)
    installer = house.collect(pinned.parse(INSTALLER.read_text(encoding="utf-8")), targets[:1])
    (pip,) = (path for paths in installer.values() for path in paths)
    shutil.copyfile(pip, wheels / pip.name)
    (into / "requirements.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    files = {path.name: sha256(path) for path in sorted(wheels.iterdir())}
    files["requirements.txt"] = sha256(into / "requirements.txt")
    listing = "".join(f"{name} {digest}\n" for name, digest in sorted(files.items()))
    return {
        "name": product.name,
        "version": version,
        "sha256": hashlib.sha256(listing.encode()).hexdigest(),
        "python": list(product.pythons),
        "machines": list(pinned.MACHINES),
        "requirements": "requirements.txt",
        "wheel": ours.name,
        "pip": pip.name,
        "files": files,
    }


def assemble_zipapp(product: Product, suffix: str, into: Path) -> dict[str, Any]:
    """Fill a new directory with a zipapp and return its manifest."""
    into.mkdir()
    base = ROOT / product.folder / "src"
    content = {str(path.relative_to(base)): path.read_bytes() for path in product.sources()}
    versioned = f"{product.module}/__init__.py"
    version, text = with_suffix(product, content[versioned].decode(), suffix)
    pyz.write(into / product.file, product.module, {**content, versioned: text.encode()})
    digest = sha256(into / product.file)
    return {
        "name": product.name,
        "version": version,
        "sha256": digest,
        "files": {product.file: digest},
    }


def build(product: Product, output: Path, *, cache: Path, suffix: str, check: bool) -> bool:
    """Make ``output`` the product's payload; return whether it had to change.

    With ``check`` nothing is written. The new payload takes the old one's place only when whole.
    """
    pins = requirements(product)
    sources = stamp(product, pins, suffix)
    if current(output, sources):
        return False
    if check:
        return True
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=".payload-") as scratch:
        fresh = Path(scratch, "new")
        if product.zipapp:
            manifest = assemble_zipapp(product, suffix, fresh)
        else:
            manifest = assemble(product, pins, Wheelhouse(cache), suffix, fresh)
        manifest["sources"] = sources
        text = json.dumps(manifest, indent=2, sort_keys=True) + "\n"
        (fresh / "manifest.json").write_text(text, encoding="utf-8")
        if output.exists():
            output.rename(Path(scratch, "old"))
        fresh.rename(output)
    return True
