"""The module ``influxdb_bucket`` against the real server."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest


def bucket(estate: Any, name: str) -> dict[str, Any]:
    """Return what the server says of a bucket."""
    found = estate.influxd.call("GET", f"/api/v2/buckets?orgID={estate.org_id}&name={name}")
    return dict(found["buckets"][0])


def rule(estate: Any, name: str) -> tuple[int, int]:
    """Return (retention, shard group duration) in seconds, as the server says."""
    (one,) = bucket(estate, name)["retentionRules"]
    return one["everySeconds"], one["shardGroupDurationSeconds"]


def test_a_bucket_is_made_changed_and_ended(estate: Any) -> None:
    """Retention and shard group are as given; what is not given stays."""
    made = estate.twice("bucket", name="raw", retention="7d", shard_group="1d", description="x")
    assert made["id"] == bucket(estate, "raw")["id"]
    assert rule(estate, "raw") == (7 * 86400, 86400)
    estate.twice("bucket", name="raw", retention=str(30 * 86400))
    assert rule(estate, "raw") == (30 * 86400, 86400)
    assert bucket(estate, "raw")["description"] == "x"
    estate.twice("bucket", name="raw", state="absent")
    assert estate.run("bucket", name="raw", state="absent")["id"] == ""


@pytest.mark.parametrize(
    ("first", "chosen", "then", "shard"),
    [
        ("forever", None, "7d", 86400),
        ("7d", None, "0", 7 * 86400),
        ("30d", None, "2h", 3600),
        ("30d", "12h", "10d", 12 * 3600),
        ("30d", "7d", "2d", 86400),
    ],
)
def test_a_new_retention_finds_a_shard_group_that_fits(
    estate: Any, first: str, chosen: str | None, then: str, shard: int
) -> None:
    """InfluxDB's own for the retention, except for one that somebody chose and that still fits."""
    estate.twice("bucket", name="b", retention=first, shard_group=chosen)
    estate.twice("bucket", name="b", retention=then)
    assert estate.run("bucket", name="b")["diff"]["after"]["shard_group_seconds"] == shard


@pytest.mark.parametrize("retention", ["1h", "47h", "2d", "7d", "179d", "180d", "400d", "forever"])
def test_our_default_of_the_shard_group_is_the_servers(estate: Any, retention: str) -> None:
    """Otherwise a dry run would show another one than is made."""
    made = estate.run("bucket", name="b", retention=retention)
    seconds = made["diff"]["after"]["shard_group_seconds"]
    estate.influxd.call(
        "POST",
        "/api/v2/buckets",
        {
            "orgID": estate.org_id,
            "name": "theirs",
            "retentionRules": [
                {"type": "expire", "everySeconds": made["diff"]["after"]["retention_seconds"]}
            ],
        },
    )
    assert rule(estate, "theirs")[1] == seconds


def test_a_shorter_retention_shows_what_it_deletes(estate: Any) -> None:
    """The dry run's diff names the oldest point, over series of several types, and warns."""
    made = estate.run("bucket", name="raw")
    now = int(time.time())
    old = now - 10 * 86400
    lines = f'a,h=1 v=1i {old + 60}\na,h=2 w=1.5 {old}\nb s="x" {now}'
    path = f"/api/v2/write?org={estate.org}&bucket=raw&precision=s"
    estate.influxd._request("POST", path, lines.encode(), "text/plain")
    said = estate.run("bucket", check=True, name="raw", retention="7d")
    expected = datetime.fromtimestamp(old, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert said["oldest_point"] == expected
    assert said["diff"]["before"]["oldest_point"] == expected
    assert f"has points from {expected} on" in str(said["warnings"])
    kept = estate.run("bucket", name="raw", retention="11d")
    assert (kept["oldest_point"], kept.get("warnings")) == ("", None)
    assert kept["id"] == made["id"]
    assert "oldest_point" not in estate.run("bucket", name="raw", retention="12d")


def test_a_bucket_beyond_the_servers_first_page_is_found(estate: Any) -> None:
    """The server lists 20 at once by default and 100 at most; none is made twice or missed."""
    for number in range(105):
        document = {"orgID": estate.org_id, "name": f"theirs-{number:03}", "retentionRules": []}
        estate.influxd.call("POST", "/api/v2/buckets", document)
    assert not estate.run("bucket", name="theirs-104")["changed"]
    said = estate.run("organization", name=estate.org, state="absent")
    assert said["msg"].count("theirs-") == 105


def test_other_buckets_stay_untouched(estate: Any) -> None:
    """Whatever is made, changed and ended beside them, in their organization and in others."""
    estate.run("bucket", name="theirs", retention="3d", description="not ours")
    before = bucket(estate, "theirs")
    elsewhere = estate.influxd.call("GET", "/api/v2/buckets?org=hostpulse&name=first")
    estate.run("bucket", name="first", retention="9d")
    estate.run("bucket", name="first", retention="8d")
    estate.run("bucket", name="first", state="absent")
    assert bucket(estate, "theirs") == before
    assert estate.influxd.call("GET", "/api/v2/buckets?org=hostpulse&name=first") == elsewhere


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"retention": "7 days"}, "retention: '7 days' is no duration such as 7d"),
        ({"retention": "30m"}, "give at least an hour each"),
        ({"retention": "1d", "shard_group": "2d"}, "a shard group no longer than the retention"),
        ({"name": "_tasks"}, "is a bucket of InfluxDB itself"),
        ({"name": "_mine"}, "Buckets may not start with underscore"),
        ({"org": "nobody"}, "has no organization 'nobody'"),
    ],
)
def test_what_cannot_be_is_told(estate: Any, given: dict[str, str], reason: str) -> None:
    """Before anything changes, and with what would be right."""
    assert reason in estate.run("bucket", **{"name": "b", **given})["msg"]


def test_an_organization_to_come_is_a_change_in_a_dry_run(estate: Any) -> None:
    """An earlier task of the same dry run would have made it."""
    said = estate.run("bucket", check=True, name="b", org="to-come")
    assert (said["changed"], said["id"]) == (True, "")
    assert not estate.run("bucket", check=True, name="b", org="nobody", state="absent")["changed"]


def test_the_organization_may_be_left_out_only_where_there_is_one(estate: Any) -> None:
    """With several the message lists them."""
    said = estate.run("bucket", name="b", org="")
    assert "has several organizations: say org, one of" in said["msg"]
    assert estate.org in said["msg"]


def test_a_duration_may_have_several_parts(utilities: dict[str, Any]) -> None:
    """And every unit that operators write."""
    duration = utilities["influxdb_module"].duration
    assert duration("1w2d3h4m5s", "x") == timedelta(
        weeks=1, days=2, hours=3, minutes=4, seconds=5
    ).total_seconds()  # fmt: skip
    assert (duration("90", "x"), duration("forever", "x"), duration("0", "x")) == (90, 0, 0)
    for wrong in ("", "d", "-1d", "1.5d", "7D", "1d ", "٣d"):
        with pytest.raises(utilities["http_service"].ServiceError):
            duration(wrong, "x")
