"""The stores that the contract runs against, one factory each."""

from __future__ import annotations

import socket
import threading
from contextlib import closing, contextmanager
from itertools import count
from typing import TYPE_CHECKING

import pytest

from hostpulse_server.store.embedded import EmbeddedStore
from hostpulse_server.store.influxdb import ClientSettings, InfluxdbStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from testbed.influxdb.local import Influxd

    from hostpulse_server.store.base import Store

_NUMBERS = count(1)


def embedded(request: pytest.FixtureRequest) -> Store:
    """Make an empty embedded store."""
    directory: Path = request.getfixturevalue("tmp_path")
    return EmbeddedStore(directory / "store.db")


def settings_of(influxd: Influxd) -> ClientSettings:
    """Make two empty buckets and return how to reach them, as the shipper may."""
    name = f"store_{next(_NUMBERS)}"
    raw, rollup = influxd.bucket(f"{name}_raw"), influxd.bucket(f"{name}_rollup")
    token = influxd.token(read=[raw, rollup], write=[raw, rollup])
    return ClientSettings(
        url=influxd.url,
        org="hostpulse",
        bucket_raw=f"{name}_raw",
        bucket_rollup=f"{name}_rollup",
        token=lambda: token,
    )


def influxdb(request: pytest.FixtureRequest) -> Store:
    """Make an empty store in a real InfluxDB."""
    return InfluxdbStore(settings_of(request.getfixturevalue("influxd")))


STORES: dict[str, Callable[[pytest.FixtureRequest], Store]] = {
    "embedded": embedded,
    "influxdb": influxdb,
}


@pytest.fixture(params=["embedded", pytest.param("influxdb", marks=pytest.mark.integration)])
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    """Give an empty store of each kind."""
    with closing(STORES[request.param](request)) as made:
        made.write([])
        yield made


@contextmanager
def listening(said: bytes, again: bytes = b"") -> Iterator[int]:
    """Answer every connection with ``said``, then ``again`` each 50 ms; give the port."""
    ended = threading.Event()

    def talk(server: socket.socket) -> None:
        taken: list[socket.socket] = []
        while not ended.is_set():
            try:
                connection, _ = server.accept()
            except TimeoutError:
                pass
            else:
                taken.append(connection)
                connection.recv(65_536)
                connection.sendall(said)
            for connection in taken if again else ():
                try:
                    connection.sendall(again)
                except OSError:
                    taken.remove(connection)
        for connection in taken:
            connection.close()

    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.05)
        thread = threading.Thread(target=talk, args=(server,))
        thread.start()
        try:
            yield int(server.getsockname()[1])
        finally:
            ended.set()
            thread.join()
