"""The module ``influxdb_organization`` against the real server."""

from __future__ import annotations

import uuid
from typing import Any


def test_an_organization_is_made_changed_and_ended(estate: Any) -> None:
    """Each step once; what is not given stays as it is."""
    name = f"made-{uuid.uuid4().hex}"
    made = estate.twice("organization", name=name, description="ours")
    changed = estate.twice("organization", name=name, description="still ours")
    assert changed["id"] == made["id"]
    assert changed["diff"]["before"]["description"] == "ours"
    kept = estate.run("organization", name=name)
    assert (kept["changed"], kept["diff"]["after"]["description"]) == (False, "still ours")
    estate.twice("organization", name=name, state="absent")
    assert estate.run("organization", name=name, state="absent")["id"] == ""


def test_an_organization_with_buckets_is_not_ended(estate: Any) -> None:
    """Their data would go with it; the message names them, also in a dry run."""
    for name in ("a", "b"):
        estate.run("bucket", name=name)
    for check in (True, False):
        said = estate.run("organization", check=check, name=estate.org, state="absent")
        assert "still has buckets (a, b)" in said["msg"]
    estate.run("bucket", name="a", state="absent")
    estate.run("bucket", name="b", state="absent")
    assert estate.run("organization", name=estate.org, state="absent")["changed"]
