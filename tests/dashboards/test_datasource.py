"""What a real influxd answers is read as frames, or is an error with its words."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from tests.dashboards.annotated_csv import QueryError, tables
from tests.dashboards.datasource import Column, FluxDataSource, Frame, Query
from tests.dashboards.interpolation import Macros, interpolate

if TYPE_CHECKING:
    from testbed.influxdb.local import Influxd

BUCKET = "datasource_test"
NOW_MS = time.time_ns() // 1_000_000
MACROS = Macros(NOW_MS - 3_600_000, NOW_MS, 60_000, BUCKET)
READ = "from(bucket: v.defaultBucket) |> range(start: v.timeRangeStart, stop: v.timeRangeStop)"
ROWS = 'import "array"\narray.from(rows: [{}])'
FAILS = READ + ' |> map(fn: (r) => ({r with x: int(v: "nope")}))'


@pytest.fixture(scope="session")
def source(influxd: Influxd) -> FluxDataSource:
    """Give a data source that reads one bucket with two series of two points each."""
    bucket = influxd.bucket(BUCKET)
    for server in ("web-01", "web-02"):
        for seconds in (1, 2):
            at = NOW_MS - seconds * 1000
            influxd.write(BUCKET, f"cpu,server_id={server} busy={seconds} {at}")
    return FluxDataSource(influxd.url, influxd.token(read=[bucket]))


def frames(source: FluxDataSource, flux: str) -> list[Frame]:
    """Return what a query finds."""
    return source.frames(Query(flux, MACROS))


def test_the_value_of_a_time_series_has_the_name_of_its_field(source: FluxDataSource) -> None:
    """What else is in the group key is a label."""
    found = frames(source, f'{READ} |> keep(columns: ["_time", "_value", "_field", "server_id"])')
    assert [one.labels for one in found] == [{"server_id": "web-01"}, {"server_id": "web-02"}]
    assert [one.shown() for one in found] == [["Time", "busy"]] * 2
    assert found[0].columns[1] == Column("busy", is_time=False, values=["2", "1"])


def test_the_value_of_a_time_series_without_a_field_is_called_value(source: FluxDataSource) -> None:
    """As Grafana 10.0 was seen to call it."""
    found = frames(source, f'{READ} |> keep(columns: ["_time", "_value", "server_id"])')
    assert [one.shown() for one in found] == [["Time", "Value"]] * 2


def test_the_columns_of_a_table_keep_their_names(source: FluxDataSource) -> None:
    """Also of the time and the value; a quoted text is one cell."""
    text = 'a,"b"'
    (found,) = frames(source, ROWS.format('{_time: now(), _value: 1, text: "a,\\"b\\""}'))
    assert {one.name: one.is_time for one in found.columns} == {
        "_time": True,
        "_value": False,
        "text": False,
    }
    assert [one.values for one in found.columns if one.name == "text"] == [[text]]


def test_columns_without_a_value_are_not_shown(source: FluxDataSource) -> None:
    """Nor is a frame with times alone, which a panel would draw nothing of."""
    windows = "aggregateWindow(every: v.windowPeriod, fn: mean, createEmpty: true)"
    kept = 'keep(columns: ["_time", "_value"])'
    flux = f'{READ} |> filter(fn: (r) => r._value > 9.0, onEmpty: "keep") |> {windows} |> {kept}'
    assert [name for one in frames(source, flux) for name in one.shown()] == []


def test_tables_of_several_results_are_frames_each(source: FluxDataSource) -> None:
    """Their numbers begin again with every result."""
    one = f'{READ} |> keep(columns: ["_time", "_value", "server_id"]) |> yield(name: "{{}}")'
    assert len(frames(source, one.format("a") + "\n" + one.format("b"))) == 4


def test_a_table_that_grafana_was_not_seen_to_show_is_an_error(source: FluxDataSource) -> None:
    """What becomes of the group key of other tables is not known."""
    with pytest.raises(ValueError, match="server_id"):
        frames(source, f'{READ} |> keep(columns: ["_value", "server_id"])')


@pytest.mark.parametrize(
    ("flux", "words"),
    [
        ("nonsense", "400 .*undefined identifier nonsense"),
        ('from(bucket: "elsewhere") |> range(start: -1h)', "404 .*could not find bucket"),
        (FAILS, "400 .*cannot convert string"),
        (
            f'{ROWS.format("{a: 1}")} |> yield(name: "a")\n{FAILS} |> yield(name: "b")',
            "cannot convert string",
        ),
    ],
    ids=["compile", "bucket", "first result", "after the first result"],
)
def test_an_error_has_the_words_of_influxd(source: FluxDataSource, flux: str, words: str) -> None:
    """Also the one that ends an answer which had begun."""
    with pytest.raises(QueryError, match=words):
        frames(source, flux)


def test_now_is_what_the_data_source_says(source: FluxDataSource, influxd: Influxd) -> None:
    """A history that ended long ago is read as on its last day."""
    past = FluxDataSource(influxd.url, influxd.operator_token, now_ms=1_591_882_260_000)
    (frame,) = frames(past, ROWS.format("{at: string(v: now())}"))
    assert frame.columns[0].values == ["2020-06-11T13:31:00.000000000Z"]


def test_influxd_reads_the_escapes_of_a_regex_as_they_are_meant(source: FluxDataSource) -> None:
    """Each special character matches itself alone."""
    special = r"\^$*+?.()|[]{}/-"
    pattern = interpolate("${value:regex}", {"value": list(special)})
    rows = ", ".join(f'{{text: "{one}"}}' for one in (*special.replace("\\", ""), r"\\", "x", "aa"))
    (frame,) = frames(source, f"{ROWS.format(rows)} |> filter(fn: (r) => r.text =~ /^{pattern}$/)")
    assert set(frame.columns[0].values) == set(special)


def test_an_answer_without_rows_has_no_tables() -> None:
    """InfluxDB describes an empty table by the defaults of its columns."""
    lines = ("#datatype,string,long,string", "#group,false,false,true", "#default,_result,0,web-01")
    assert list(tables("\r\n".join((*lines, ",result,table,server_id", "", "")))) == []
