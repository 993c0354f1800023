"""How tests run modules: as Ansible does or by Ansible itself, and with an eye on secrets."""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import sys
import uuid
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest
from ansible.module_utils import _internal
from ansible.module_utils.common import warnings
from ansible.module_utils.testing import patch_module_args
from tests.servers.grafana_api.local import MODULE_SERVERS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testbed.grafana.local import Grafana
    from testbed.influxdb.local import Influxd

PLUGINS = Path(__file__).parents[2] / "plugins"
NAME = "ansible_collections.hostpulse.platform.plugins.module_utils"


class Controller:
    """Runs modules against one server whose operator token is in a file."""

    prefix = "influxdb"

    def __init__(self, url: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.url = url
        self.folder = folder
        self.token_file = folder / "operator.token"
        self._capsys = capsys

    def credentials(self) -> dict[str, Any]:
        """Return what lets the modules in."""
        return {"token_file": str(self.token_file)}

    def run(self, module: str, *, check: bool = False, **arguments: Any) -> dict[str, Any]:
        """Return what the module tells Ansible; the operator token is never in it."""
        given = {"url": self.url, **self.credentials(), **arguments}
        given.update(_ansible_check_mode=check, _ansible_diff=True)
        # A target's process runs one module; here warnings of the one before are still there.
        warnings._global_warnings.clear()
        path = PLUGINS / "modules" / f"{self.prefix}_{module}.py"
        # By the loader, not by runpy, which takes the file for a folder once Ansible's collection
        # finder is loaded.
        with patch_module_args(given), pytest.raises(SystemExit) as exited:
            SourceFileLoader("__main__", str(path)).exec_module(ModuleType("__main__"))
        text = self._capsys.readouterr().out
        for path in self.folder.glob("*.token"):
            secret = path.read_text(errors="replace").strip()
            assert not secret or secret not in text
        said: dict[str, Any] = json.loads(text)
        assert bool(exited.value.code) == bool(said.get("failed"))
        return said

    def twice(self, module: str, **arguments: Any) -> dict[str, Any]:
        """Run dry, for good and again: a dry run tells the truth, the last changes nothing."""
        dry = self.run(module, check=True, **arguments)
        said = self.run(module, **arguments)
        assert (dry["changed"], dry["diff"]) == (True, said["diff"])
        assert said["changed"]
        again = self.run(module, **arguments)
        assert not again["changed"]
        assert again["diff"]["before"] == again["diff"]["after"]
        return said


class Estate(Controller):
    """Adds an organization of this test alone, so that tests may share a server."""

    def __init__(self, influxd: Influxd, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        super().__init__(influxd.url, folder, capsys)
        self.influxd = influxd
        self.token_file.write_text(influxd.operator_token + "\n")
        self.org = f"org-{uuid.uuid4().hex}"
        self.org_id = influxd.call("POST", "/api/v2/orgs", {"name": self.org})["id"]

    def run(self, module: str, *, check: bool = False, **arguments: Any) -> dict[str, Any]:
        """Run in the test's organization."""
        own = {} if module in ("organization", "setup") else {"org": self.org}
        return super().run(module, check=check, **{**own, **arguments})

    def authorizations(self) -> dict[str, dict[str, Any]]:
        """Return the organization's authorizations by id."""
        found = self.influxd.call("GET", f"/api/v2/authorizations?orgID={self.org_id}")
        return {one["id"]: one for one in found["authorizations"]}

    def authorization(self, description: str, bucket: str) -> str:
        """Make a token by hand that reads one bucket; return the authorization's id."""
        resource = {"type": "buckets", "id": bucket, "orgID": self.org_id}
        document = {
            "orgID": self.org_id,
            "description": description,
            "permissions": [{"action": "read", "resource": resource}],
        }
        return str(self.influxd.call("POST", "/api/v2/authorizations", document)["id"])


class Desk(Controller):
    """Runs the modules for Grafana against a server of its interface, as the administrator."""

    prefix = "grafana"

    def __init__(self, grafana: Grafana, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        super().__init__(grafana.url, folder, capsys)
        self.grafana = grafana
        self.password_file = folder / "admin.password"
        self.password_file.write_text(grafana.password + "\n")

    def credentials(self) -> dict[str, Any]:
        """Return the administrator's name and where the password is."""
        return {"user": "admin", "password_file": str(self.password_file)}


class Guest(Controller):
    """As ``Desk``, with the token of a service account that may what an administrator may."""

    prefix = "grafana"

    def __init__(self, grafana: Grafana, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        super().__init__(grafana.url, folder, capsys)
        self.grafana = grafana
        account = {"name": f"robot-{uuid.uuid4().hex}", "role": "Admin"}
        number = grafana.api("POST", "/api/serviceaccounts", account)["id"]
        made = grafana.api("POST", f"/api/serviceaccounts/{number}/tokens", {"name": "one"})
        self.token_file = folder / "robot.token"
        self.token_file.write_text(made["key"] + "\n")


def utility(name: str) -> ModuleType:
    """Load one of the collection's module_utils under the name that modules import."""
    loader = SourceFileLoader(f"{NAME}.{name}", str(PLUGINS / "module_utils" / f"{name}.py"))
    spec = spec_from_loader(loader.name, loader)
    assert spec is not None
    module = module_from_spec(spec)
    sys.modules[loader.name] = module
    loader.exec_module(module)
    return module


@pytest.fixture
def utilities(monkeypatch: pytest.MonkeyPatch) -> dict[str, ModuleType]:
    """Give the module_utils by name, importable for this test as on a target."""
    # Another test may have made this process a controller, where warnings go to the screen.
    monkeypatch.setattr(_internal, "is_controller", False)
    names = (
        *("secret_file", "durations", "http_service", "service_module"),
        *("influxdb", "influxdb_authorizations", "influxdb_module"),
        *("grafana", "grafana_people"),
    )
    for name in names:
        monkeypatch.setitem(sys.modules, f"{NAME}.{name}", ModuleType(name))
    return {name: utility(name) for name in names}


@pytest.fixture
def controller(
    utilities: dict[str, ModuleType], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Controller:
    """Give a controller whose address each test sets."""
    return Controller("http://127.0.0.1:1", tmp_path, capsys)


@pytest.fixture
def estate(
    utilities: dict[str, ModuleType],
    influxd: Influxd,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> Estate:
    """Give an organization of the shared server."""
    return Estate(influxd, tmp_path, capsys)


@pytest.fixture(scope="session", params=MODULE_SERVERS)
def grafana(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Grafana]:
    """Give a server of Grafana's interface that tests share, each with names of its own."""
    with request.param.start(tmp_path_factory.mktemp("grafana")) as server:
        yield server


@pytest.fixture
def desk(
    utilities: dict[str, ModuleType],
    grafana: Grafana,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> Desk:
    """Give the administrator of the shared server."""
    return Desk(grafana, tmp_path, capsys)


@pytest.fixture
def guest(
    utilities: dict[str, ModuleType],
    grafana: Grafana,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> Guest:
    """Give somebody with a token of the shared server."""
    return Guest(grafana, tmp_path, capsys)


@pytest.fixture(scope="session")
def ansible(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Run one of Ansible's programs, which finds our collection; give all that it shows."""
    folder = tmp_path_factory.mktemp("ansible")
    environment = {
        **os.environ,
        "ANSIBLE_COLLECTIONS_PATH": str(PLUGINS.parents[3]),
        "ANSIBLE_HOME": str(folder),
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_LOCALHOST_WARNING": "0",
        "ANSIBLE_INVENTORY_UNPARSED_WARNING": "0",
    }

    def run(program: str, *arguments: str) -> str:
        process = subprocess.run(
            [Path(sys.executable).with_name(program), *arguments],
            env=environment,
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert process.returncode == 0, process.stdout + process.stderr
        return process.stdout + process.stderr

    return run


@pytest.fixture
def self_signed(tmp_path: Path) -> Any:
    """Make a certificate of localhost, its own authority: NAME.pem, NAME.key; give its context."""

    def make(name: str) -> ssl.SSLContext:
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1",
             "-keyout", f"{name}.key", "-out", f"{name}.pem", "-subj", "/CN=localhost",
             "-addext", "subjectAltName=DNS:localhost"],
            cwd=tmp_path, check=True, capture_output=True,
        )  # fmt: skip
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tmp_path / f"{name}.pem", tmp_path / f"{name}.key")
        return context

    return make
