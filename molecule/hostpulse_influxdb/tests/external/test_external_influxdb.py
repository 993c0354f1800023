"""hostpulse as a guest in somebody's InfluxDB."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from testinfra.host import Host

    SeenFrom = Callable[[str, str], Any]

OPERATOR = "/etc/hostpulse/influxdb/operator.token"


def listed(seen_from: SeenFrom, kind: str) -> list[dict[str, Any]]:
    """Return all objects of a kind, as the operator sees them."""
    ((status, text),) = seen_from("store", OPERATOR).ask(("GET", f"/api/v2/{kind}?limit=100", None))
    assert status == 200
    found: list[dict[str, Any]] = json.loads(text)[kind]
    return found


def test_foreign_buckets_are_as_they_were(seen_from: SeenFrom) -> None:
    """Somebody's bucket, and those of an earlier hostpulse, keep retention and description."""
    found = {one["name"]: one for one in listed(seen_from, "buckets") if one["type"] == "user"}
    assert set(found) == {
        "theirs", "guest_raw", "guest_rollup", "hostpulse_raw", "hostpulse_rollup"
    }  # fmt: skip
    assert found["theirs"]["retentionRules"][0]["everySeconds"] == 3 * 86400
    assert found["theirs"]["description"] == "not of hostpulse"


def test_foreign_tokens_still_work_and_ours_do_not_reach_what_is_theirs(
    seen_from: SeenFrom,
) -> None:
    """A guest sees its own rooms."""
    theirs = seen_from("store", "/root/theirs.token")
    assert theirs.ask(theirs.read("theirs", "somebody"))[0][0] == 200
    ours = seen_from("monitor", "/etc/hostpulse/influxdb_query_token")
    answers = ours.ask(ours.read("guest_raw", "somebody"), ours.read("theirs", "somebody"))
    assert answers[0][0] == 200
    assert answers[1][0] != 200


def test_the_tokens_of_the_other_organization_were_not_ended(seen_from: SeenFrom) -> None:
    """Names are compared within one organization only."""
    names = [one["description"].partition(" [")[0] for one in listed(seen_from, "authorizations")]
    assert names.count("hostpulse write") == 2
    assert names.count("their reader") == 1


def test_the_operator_token_was_there_for_the_run_only(host_of: Callable[[str], Host]) -> None:
    """No copy of what was given stays behind."""
    assert host_of("store").check_output("find /etc/hostpulse /run -name '*operator*'") == OPERATOR
