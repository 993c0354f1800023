"""What of a request's address the log shows."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

from hostpulse_server.api.request_line import PARAMETERS

if TYPE_CHECKING:
    from app.tests.api.conftest import Api

SECRET = "Zb3x9KqLm2Rt7Vw8Yc4Pd6Fg1Hj5Nk0SaQeUoIuTyXr"


@pytest.mark.parametrize(
    ("address", "path", "query"),
    [
        ("/api/v1/servers/web-01?limit=0", "/api/v1/servers/web-01", "limit=0"),
        ("/api/v1/metrics?measurement=cpu&start=-1h&tag.core=*", "/api/v1/metrics", None),
        (f"/api/v1/servers/{SECRET}", "/api/v1/servers/…", ""),
        (f"/api/v1/{SECRET}/x", "/api/v1/…", ""),
        (f"/{SECRET}", "/…", ""),
        (f"/act/{SECRET}", "/act/…", ""),
        (f"/act/{SECRET}/x", "/act/…", ""),
        ("/api/v1/servers/hp%5Faaaaaaaaaaaa%5F" + SECRET, "/api/v1/servers/…", ""),
        (f"/api/v1/servers?key=hunter2&{SECRET}=1", "/api/v1/servers", "…"),
        (f"/api/v1/servers?status={SECRET}&limit=3", "/api/v1/servers", "status=…&limit=3"),
        (f"/api/v1/servers?label.{SECRET}=x&password=hunter2", "/api/v1/servers", "…"),
        ("/api/v1/servers?" + "limit=1&" * 40, "/api/v1/servers", "…"),
        ("/", "/…", ""),
        ("//x", "/…", ""),
    ],
)
def test_only_what_is_known_is_shown(
    api: Api, caplog: pytest.LogCaptureFixture, address: str, path: str, query: str | None
) -> None:
    """A path as far as it is ours, parameters that are ours, values that can be no secret."""
    shown = query if query is not None else address.partition("?")[2]
    with caplog.at_level(logging.INFO, logger="hostpulse_server.access"):
        api.get(address)
    (record,) = (one for one in caplog.records if one.name == "hostpulse_server.access")
    assert (record.path, record.query) == (path, shown)  # type: ignore[attr-defined]
    assert SECRET not in record.getMessage()


def test_known_parameters_are_those_of_the_document(api: Api) -> None:
    """So that a new one is shown, too."""
    paths = api.get("/openapi.json").json["paths"]  # type: ignore[index]
    names = {
        one["name"].removesuffix("NAME")
        for methods in paths.values()
        for operation in methods.values()
        if isinstance(operation, dict)
        for one in operation.get("parameters", ())
        if one["in"] == "query"
    }
    assert names == PARAMETERS
