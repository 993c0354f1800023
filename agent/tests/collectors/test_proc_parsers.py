"""Parsers of the kernel's formats, with odd values and incomplete reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostpulse_agent.collectors.connections import sockstat
from hostpulse_agent.collectors.pressure import parse as parse_pressure
from hostpulse_agent.collectors.procfs import (
    columns,
    counter,
    meminfo,
    read_bytes,
    read_int,
    tag_value,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from agent.tests.collectors.conftest import Host

NAMES = st.text("abcdefghij_", min_size=1, max_size=8).map(str.encode)
TABLES = st.dictionaries(NAMES, st.integers(0, 2**64))


@given(st.binary(max_size=600) | st.text("\\ a", max_size=9).map(str.encode))
def test_every_name_becomes_a_valid_tag_value(raw: bytes) -> None:
    """1 to 255 characters, no control characters, no backslash at the end or before a space."""
    text = tag_value(raw)
    assert 1 <= len(text) <= 255
    assert text.isprintable()
    assert not text.endswith("\\")
    assert "\\ " not in text


@given(TABLES)
def test_counters_are_found_by_their_whole_name(table: dict[bytes, int]) -> None:
    """A name that begins another name is not mistaken for it."""
    data = b"".join(b"%s %d\n" % row for row in table.items())
    for name, number in table.items():
        assert counter(data, name) == number
    assert counter(data, b"missing") is None


@given(TABLES)
def test_meminfo_is_read_with_and_without_units(table: dict[bytes, int]) -> None:
    """Sizes carry kB, numbers of pages nothing."""
    rows = (b"%s: %12d%s\n" % (n, v, b" kB" if v % 2 else b"") for n, v in table.items())
    assert meminfo(b"".join(rows)) == table


@given(TABLES)
def test_protocol_sums_are_matched_by_column(table: dict[bytes, int]) -> None:
    """Kernels add columns in the middle; each number belongs to the name above it."""
    names = b" ".join(table)
    numbers = b" ".join(b"%d" % value for value in table.values())
    data = b"Ip: A\nIp: 1\nTcp: %s\nTcp: %s\nTcpExt: B\nTcpExt: 2\n" % (names, numbers)
    assert columns(data, b"Tcp", [*table, b"Missing"]) == table
    assert columns(data, b"TcpExt", [b"B"]) == {b"B": 2}
    assert columns(data, b"Udp", table) == {}
    assert columns(data[:-3], b"TcpExt", [b"B"]) == {}


def test_socket_sums_keep_protocols_apart() -> None:
    """TCP and TCP6 have columns of the same name."""
    data = b"sockets: used 3\nTCP: inuse 1 orphan 2\nTCP6: inuse 9\n"
    assert sockstat(data)[b"TCP"] == {b"inuse": 1, b"orphan": 2}
    assert sockstat(data)[b"TCP6"] == {b"inuse": 9}


def test_pressure_of_an_older_kernel_has_no_full_line_for_the_cpu() -> None:
    """Before 5.13 only `some` was kept."""
    fields = parse_pressure(b"some avg10=0.12 avg60=3.40 avg300=0.00 total=1\n")
    assert fields == {"some_avg10_percent": 0.12, "some_avg60_percent": 3.4}


def test_a_file_of_any_size_is_read_whole(tmp_path: Path) -> None:
    """One read gives at most 64 KiB."""
    content = bytes(range(256)) * 1000
    (tmp_path / "file").write_bytes(content)
    assert read_bytes(str(tmp_path / "file")) == content


@pytest.mark.parametrize(("text", "number"), [("12\n", 12), ("-1\n", -1), ("unknown\n", None)])
def test_a_number_in_a_file_is_that_number_or_none(
    tmp_path: Path, text: str, number: int | None
) -> None:
    """Drivers write words where they have no number."""
    (tmp_path / "file").write_text(text)
    assert read_int(str(tmp_path / "file")) == number
    assert read_int(str(tmp_path / "missing")) is None


def test_a_file_is_read_once_a_tick(host: Callable[[str], Host]) -> None:
    """Collectors of one tick share a reading and its time; the next tick reads anew."""
    recorded = host("container")
    first = recorded.tree.proc("loadavg", 1.0)
    recorded.write("proc/loadavg", "9 9 9")
    recorded.now += 5
    assert recorded.tree.proc("loadavg", 1.0) == first
    assert recorded.tree.proc("loadavg", 2.0) == (b"9 9 9", 1005.0)
