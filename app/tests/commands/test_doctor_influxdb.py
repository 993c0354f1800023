"""``doctor`` where the store is InfluxDB: what it says, and its exit status."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from testbed.influxdb.local import Influxd
from tests.support.polling import wait_until
from werkzeug.serving import make_server

from hostpulse_server import config as server_config
from hostpulse_server import state
from hostpulse_server.api.app import create_app
from hostpulse_server.api.services import EXTENSION
from hostpulse_server.cli import root
from hostpulse_server.journal import SamplesRecord
from hostpulse_server.journal.records import SAMPLES
from hostpulse_server.registry import Registry
from hostpulse_server.runtime.clock import SYSTEM
from hostpulse_server.services.alert_engine import alert
from hostpulse_server.services.shipper import ship

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from hostpulse_server.config import ServerConfig

pytestmark = pytest.mark.integration

DAY = 86_400
TOKENS = ("write_token", "query_token")


class Installed:
    """A server with an InfluxDB of its own; one sample is in the store."""

    def __init__(self, directory: Path, stack: ExitStack) -> None:
        self.influxd = stack.enter_context(Influxd.start(directory / "influxd"))
        raw = self.influxd.bucket("hostpulse_raw", 7 * DAY)
        rollup = self.influxd.bucket("hostpulse_rollup", 30 * DAY)
        self.influxd.bucket("another", 30 * DAY)
        self.tokens = (
            self.influxd.token(read=[raw], write=[raw, rollup]),
            self.influxd.token(read=[raw, rollup]),
        )
        self.path = directory / "server.toml"
        self.text = (
            f'data_dir = "{directory}"\n'
            '[journal]\nmin_free_bytes = "0B"\n'
            "[shipper]\nbatch_seconds = 0.01\n"
            f'[store]\nkind = "influxdb"\n[store.influxdb]\nurl = "{self.influxd.url}"\n'
            f'write_token_file = "{TOKENS[0]}"\nquery_token_file = "{TOKENS[1]}"\n'
        )
        for name in TOKENS:
            (directory / name).touch(0o600)
        self.restore()
        engine = state.open_engine(f"sqlite:///{directory}/state.db")
        stack.callback(engine.dispose)
        state.upgrade(engine)
        app = create_app(self.config(), registry=Registry(engine))
        parts = app.extensions[EXTENSION]
        stack.callback(parts.store.close)
        stack.callback(parts.journal.close)
        web = make_server("127.0.0.1", 0, app)
        stack.callback(web.server_close)
        thread = threading.Thread(target=web.serve_forever)
        thread.start()
        stack.callback(thread.join)
        stack.callback(web.shutdown)
        self.text += f'[api]\nbind = "127.0.0.1:{web.server_port}"\n'
        self.restore()
        now = SYSTEM.now_ms()
        point = {"measurement": "swap", "tags": {}, "fields": {"used_percent": 1.0}}
        sample = {"seq": 1, "time": now, "interval_ms": 10_000, "points": [point]}
        record = SamplesRecord("web-01", now, {"version": "1", "stream": "s"}, [sample])
        parts.journal.append(record.encode(), SAMPLES, now)
        stop = threading.Event()
        engine_thread = threading.Thread(target=alert, args=(self.config(), stop))
        engine_thread.start()
        stack.callback(engine_thread.join)
        stack.callback(stop.set)

    def config(self) -> ServerConfig:
        """Return the configuration as it is."""
        return server_config.load(self.path, {})

    def restore(self) -> None:
        """Write the configuration and the tokens as they should be."""
        self.path.write_text(self.text)
        for name, token in zip(TOKENS, self.tokens, strict=True):
            (self.path.parent / name).write_text(token)

    def doctor(self) -> tuple[int, dict[str, str]]:
        """Run doctor; return its exit status and its lines by part."""
        result = CliRunner().invoke(root, ["doctor", "--config", str(self.path)])
        lines = result.stdout.splitlines()
        return result.exit_code, {line[6:19].strip(): line for line in lines}

    def ship(self) -> tuple[int, dict[str, str]]:
        """Ship until doctor is content; return what it says."""
        stop = threading.Event()
        shipper = threading.Thread(target=ship, args=(self.config(), stop))
        shipper.start()
        try:
            wait_until(lambda: self.doctor()[0] == 0, "doctor finds every part in order")
        finally:
            stop.set()
            shipper.join()
        return self.doctor()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    """Give a server that has shipped its sample."""
    with ExitStack() as stack:
        installed = Installed(tmp_path_factory.mktemp("doctor"), stack)
        code, lines = installed.ship()
        assert code == 0, lines
        yield installed


@pytest.fixture
def installed(made: Installed) -> Iterator[Installed]:
    """Give it with nothing wrong, whatever another test did."""
    made.restore()
    yield made
    made.restore()


def test_all_is_well(installed: Installed) -> None:
    """The line of the store says where it is and how long it keeps what."""
    code, lines = installed.doctor()
    assert code == 0
    warned = {"channels", "heartbeat"}  # there are none
    assert {name for name, line in lines.items() if not line.startswith("ok  ")} == warned
    where = f"{installed.influxd.url}, hostpulse_raw 7 d, hostpulse_rollup 30 d, last write "
    assert where in lines["store"]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("[store.influxdb]", '[store.influxdb]\nbucket_raw = "nowhere"', "bucket nowhere is not"),
        ("[store.influxdb]", '[store.influxdb]\nbucket_rollup = "no"', "bucket no is not there"),
        ("[store.influxdb]", '[store.influxdb]\nbucket_rollup = "another"', "bucket another"),
        ("[store.influxdb]", '[store.influxdb]\norg = "nobody"', "organization nobody"),
        ("[store]", '[retention]\nraw = "6d"\n[store]', "keeps values 7 d, [retention] says 6 d"),
        ("[store]", '[retention]\nrollup = "31d"\n[store]', "30 d, [retention] says 31 d"),
    ],
)
def test_a_setting_that_does_not_fit_is_named(
    installed: Installed, old: str, new: str, words: str
) -> None:
    """Bucket or organization that is missing, without rights, or keeping values otherwise."""
    installed.path.write_text(installed.text.replace(old, new, 1))
    code, lines = installed.doctor()
    assert code == 1
    assert lines["store"].startswith("FAIL  store")
    assert words in lines["store"]
    assert [name for name, line in lines.items() if line.startswith("FAIL")] == ["store"]


@pytest.mark.parametrize("name", TOKENS)
@pytest.mark.parametrize("what", ["wrong", "swapped", "missing"])
def test_a_token_that_does_not_work_is_named_by_its_file(
    installed: Installed, name: str, what: str
) -> None:
    """Not known, that of the other purpose, or no file; the token itself is not shown."""
    file = installed.path.parent / name
    other = installed.tokens[1 - TOKENS.index(name)]
    file.write_text("not-a-token" if what == "wrong" else other)
    if what == "missing":
        text = installed.text.replace(f'"{name}"', f'"{name}.none"')
        installed.path.write_text(text)
    code, lines = installed.doctor()
    assert code == 1
    assert lines["store"].startswith("FAIL  store")
    assert name in lines["store"]
    assert not any(token in lines["store"] for token in ("not-a-token", *installed.tokens))


def test_an_influxdb_that_is_stopped_is_told_from_all_the_rest(installed: Installed) -> None:
    """The other parts are well; when it runs again so is the store."""
    installed.influxd.stop()
    code, lines = installed.doctor()
    installed.influxd.resume()
    assert code == 1
    assert f"InfluxDB at {installed.influxd.url} does not answer" in lines["store"]
    assert [name for name, line in lines.items() if line.startswith("FAIL")] == ["store"]
    assert installed.doctor()[0] == 0
