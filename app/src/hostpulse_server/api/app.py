"""The Flask application and what it is made of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix

from hostpulse_server.api import (
    action_page,
    alerts,
    cors,
    health,
    ingest,
    limits,
    openapi,
    problems,
    queries,
    runbook_page,
    servers,
    silences,
    telemetry,
)
from hostpulse_server.api.services import EXTENSION, Services
from hostpulse_server.journal import Journal, open_journal
from hostpulse_server.registry import Registry
from hostpulse_server.runtime.clock import SYSTEM, Clock
from hostpulse_server.shipper.last_seen import LastSeenReader
from hostpulse_server.state import open_engine
from hostpulse_server.store.factory import open_store

if TYPE_CHECKING:
    from hostpulse_server.config import ServerConfig
    from hostpulse_server.store.base import Store


def create_app(  # each part can be replaced
    config: ServerConfig,
    *,
    registry: Registry | None = None,
    journal: Journal | None = None,
    seen: LastSeenReader | None = None,
    store: Store | None = None,
    clock: Clock = SYSTEM,
) -> Flask:
    """Make the application; parts that are not given are opened as ``config`` says.

    Call it in the process that serves: connections and threads do not survive a fork.
    """
    parts = Services(
        config=config,
        registry=registry or Registry(open_engine(config.state.url), clock),
        journal=journal or open_journal(config, clock),
        seen=seen or LastSeenReader(config.paths.shipper, clock=clock),
        store=store or open_store(config, read_only=True),
        clock=clock,
    )
    app = Flask("hostpulse_server", static_folder=None)
    app.static_folder = str(health.STATIC)
    app.add_url_rule("/static/<path:filename>", "static", app.send_static_file)
    app.json.sort_keys = False  # type: ignore[attr-defined]  # of the default provider
    app.extensions[EXTENSION] = parts
    telemetry.register(app, parts)
    cors.register(app, config.api.cors_origins)
    limits.register(app, config.api)
    api = openapi.make(app)
    for module in (ingest, queries, servers, alerts, silences):
        api.register_blueprint(module.blueprint)
    app.register_blueprint(health.blueprint)
    app.register_blueprint(action_page.blueprint)
    app.register_blueprint(runbook_page.blueprint)
    problems.register(app)
    hops = config.api.trusted_proxies
    if hops:
        app.wsgi_app = ProxyFix(  # type: ignore[method-assign]  # Flask's documented way
            app.wsgi_app, x_for=hops, x_proto=hops, x_host=hops, x_prefix=hops
        )
    return app
