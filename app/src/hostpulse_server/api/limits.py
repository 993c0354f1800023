"""Rates: requests a key, failed authentications and pages an address.

The views are not decorated one by one: a request is counted where its key is known, which is
after authentication, and the limit of failures is checked only once a key was refused.
"""

from __future__ import annotations

import ipaddress
import time
from typing import TYPE_CHECKING, cast

from flask import current_app
from flask_limiter import Limiter
from flask_limiter.util import get_remote_address
from limits import RateLimitItem, parse

from hostpulse_server.api.problems import ProblemError, retry_after
from hostpulse_server.api.rate_limit_storage import SCHEME

if TYPE_CHECKING:
    from flask import Flask

    from hostpulse_server.config import ApiConfig

FAILURES = parse("30/minute")
PAGES = parse("60/minute")
EXTENSION = "hostpulse_limits"
IN_MEMORY = f"{SCHEME}://"  # importing counters registers it with limits


class Limits:
    """The limiter of one app and its two rates."""

    def __init__(self, app: Flask, config: ApiConfig) -> None:
        url = config.limiter_url
        self._limiter = Limiter(
            get_remote_address,
            storage_uri=IN_MEMORY if url == "memory://" else url,
            strategy="fixed-window",
        )
        # an extension that is there already installs no hooks: those of this one cost each request
        # more than everything else here does, to find out that no view is decorated
        app.extensions.setdefault("limiter", set()).add(self._limiter)
        self._limiter.init_app(app)
        self._rate = parse(config.rate_limit)

    def hit(self, rate: RateLimitItem, *names: str) -> float | None:
        """Count one; return the seconds to wait when that was one too many, else ``None``."""
        if self._limiter.limiter.hit(rate, *names):
            return None
        return self._limiter.limiter.get_window_stats(rate, *names).reset_time - time.time()

    def request(self, key_id: str) -> float | None:
        """Count a request of a key."""
        return self.hit(self._rate, "key", key_id)

    def failure(self, address: str) -> float | None:
        """Count a failed authentication from an address."""
        return self.hit(FAILURES, "failed", address)


def origin(address: str) -> str:
    """Return what counts as one address, however it is spelt: of IPv6 its /64.

    A host has all of its /64 to itself, and so 2^64 addresses to be counted under.
    """
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.IPv6Network((found, 64), strict=False))


def register(app: Flask, config: ApiConfig) -> None:
    """Give ``app`` its limits."""
    app.extensions[EXTENSION] = Limits(app, config)


def _limits() -> Limits:
    return cast("Limits", current_app.extensions[EXTENSION])


def count_request(key_id: str) -> None:
    """Count a request; raise ProblemError 429 past the key's rate."""
    wait = _limits().request(key_id)
    if wait is not None:
        raise ProblemError(
            429, "This key sends more often than rate_limit allows.", headers=retry_after(wait)
        )


def count_failure(address: str) -> None:
    """Count a refused key; raise ProblemError 429 when its address had too many refused."""
    wait = _limits().failure(origin(address))
    if wait is not None:
        raise ProblemError(
            429, "Too many failed authentications from this address.", headers=retry_after(wait)
        )


def count_page(address: str) -> None:
    """Count a page that needs no key; raise ProblemError 429 when its address had too many."""
    wait = _limits().hit(PAGES, "page", origin(address))
    if wait is not None:
        raise ProblemError(429, "Too many pages for this address.", headers=retry_after(wait))
