"""The configuration as frozen values: one class a section of ``server.toml``.

Durations are seconds (float), sizes are bytes (int). Defaults are here and nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from hostpulse_server.config import secrets, values
from hostpulse_server.config.flap import DEFAULT, FLAP, FlapConfig

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from hostpulse_server.config.values import Converter


def key(kind: Converter, default: Any) -> Any:
    """Declare a key of a section with its kind and default."""
    return field(default=default, metadata={"kind": kind})


def required(kind: Converter, name: str | None = None) -> Any:
    """Declare a key that has no default; ``name`` when the file calls it otherwise."""
    return field(metadata={"kind": kind, "key": name} if name else {"kind": kind})


@dataclass(frozen=True)
class SiteConfig:
    """``[site]``: how this installation presents itself."""

    name: str = key(values.TEXT, "hostpulse")
    public_url: str = key(values.OPTIONAL_URL, "")
    grafana_url: str = key(values.OPTIONAL_URL, "")
    timezone: str = key(values.TEXT, "UTC")
    language: str = key(values.matching(r"[a-z]{2}", 'two letters such as "en"'), "en")
    certificates: tuple[str, ...] = key(values.FILES, ())

    @property
    def untranslated(self) -> str:
        """What to warn of while there are no texts in ``language``; empty for English."""
        if self.language == "en":
            return ""
        return f'there are no texts in [site] language "{self.language}" yet: all are in English'


@dataclass(frozen=True)
class ApiConfig:
    """``[api]``: the HTTP service."""

    bind: str = key(
        values.matching(r"(?:[\w.-]+|\[[0-9a-fA-F:]+\]):\d{1,5}", '"ADDRESS:PORT"'),
        "127.0.0.1:8080",
    )
    workers: int = key(values.integer(1, 64), 1)
    threads: int = key(values.integer(1, 256), 16)
    rate_limit: str = key(
        values.matching(
            r"[1-9][0-9]* ?(?:/|per) ?(?:[1-9][0-9]*)? ?(?:second|minute|hour|day)s?",
            'a rate such as "10/second", without zeros',
        ),
        "10/second",
    )
    limiter_url: str = key(
        values.matching(
            r"memory://|rediss?(?:\+[a-z]+)?://[^\s]+", '"memory://" or a redis:// address'
        ),
        "memory://",
    )
    max_body: int = key(values.positive(values.size), 2**20)
    trusted_proxies: int = key(values.integer(0, 10), 0)
    cors_origins: tuple[str, ...] = key(values.TEXTS, ())
    access_log: str = key(values.choice("errors", "all"), "errors")

    @property
    def host(self) -> str:
        """The address part of ``bind``, without brackets."""
        return self.bind.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        """The port part of ``bind``."""
        return int(self.bind.rpartition(":")[2])


@dataclass(frozen=True)
class StateConfig:
    """``[state]``: the database of servers, keys and alert states."""

    url: str = key(
        values.matching(
            r"(?:(?:sqlite|postgresql)(?:\+\w+)?://.+)?", "a sqlite:/// or postgresql:// URL"
        ),
        "",
    )


@dataclass(frozen=True)
class JournalConfig:
    """``[journal]``: bounds of the durable log, in bytes."""

    max_bytes: int = key(values.positive(values.size), 2 * 2**30)
    min_free_bytes: int = key(values.SIZE, 2**30)


@dataclass(frozen=True)
class InfluxdbConfig:
    """``[store.influxdb]``: where InfluxDB is and which tokens open it."""

    url: str = key(values.URL, "http://127.0.0.1:8086")
    org: str = key(values.TEXT, "hostpulse")
    bucket_raw: str = key(values.TEXT, "hostpulse_raw")
    bucket_rollup: str = key(values.TEXT, "hostpulse_rollup")
    write_token_file: str = key(values.TEXT, "influxdb_write_token")
    query_token_file: str = key(values.TEXT, "influxdb_query_token")
    ca_file: str = key(values.TEXT, "")


@dataclass(frozen=True)
class StoreConfig:
    """``[store]``: where points are kept for queries."""

    kind: str = key(values.choice("embedded", "influxdb"), "embedded")
    influxdb: InfluxdbConfig = field(default_factory=InfluxdbConfig)


@dataclass(frozen=True)
class ShipperConfig:
    """``[shipper]``: batches from journal to store; times in seconds."""

    batch_points: int = key(values.integer(1, 100_000), 100)
    batch_seconds: float = key(values.number(0.01, 3600), 5.0)
    max_batch_points: int = key(values.integer(1, 1_000_000), 5000)
    max_backoff: float = key(values.LONG, 10.0)


@dataclass(frozen=True)
class RetentionConfig:
    """``[retention]``: how long points live, in seconds."""

    raw: float = key(values.LONG, 7 * 86400.0)
    rollup: float = key(values.LONG, 30 * 86400.0)
    rollup_window: float = key(values.LONG, 300.0)


@dataclass(frozen=True)
class AlertsConfig:
    """``[alerts]``: rules files and how notifications are grouped; times in seconds.

    ``templates`` is a folder whose files replace those of the same name that ship.
    ``probe_interval`` is how often a host that reports is probed, 0 for never.
    ``fallback`` names the channels for what others do not take for ``fallback_after``.
    """

    rules: tuple[str, ...] = key(values.TEXTS, ("/etc/hostpulse/rules/*.yml",))
    group_by: tuple[str, ...] | Literal["auto"] = key(values.GROUP_BY, "auto")
    group_wait: float = key(values.DURATION, 10.0)
    group_interval: float = key(values.DURATION, 300.0)
    repeat_interval: float = key(values.LONG, 4 * 3600.0)
    heartbeat_url: str = key(values.OPTIONAL_URL, "")
    heartbeat_fail_url: str = key(values.OPTIONAL_URL, "")
    messages_per_minute: int = key(values.integer(1, 600), 10)
    fallback: tuple[str, ...] = key(values.TEXTS, ())
    fallback_after: values.FallbackAfter = key(  # noqa: RUF009  # its default is immutable
        values.FALLBACK_TIMES, values.FallbackAfter()
    )
    link_lifetime: float = key(values.LONG, 7 * 86400.0)
    templates: str = key(values.TEXT, "")
    probe_interval: float = key(values.DURATION, 3600.0)
    flap: FlapConfig = field(default=DEFAULT, metadata={"kind": FLAP})


# what it holds goes into a command of SMTP
HELO = values.matching(
    r"(?:[A-Za-z0-9_.-]{1,255}|\[[A-Za-z0-9.:]{1,64}\])?", "a host's name, or [ADDRESS]"
)


@dataclass(frozen=True)
class SlackChannel:
    """A ``[channels.NAME]`` with ``kind = "slack"``."""

    webhook_url_file: str = required(values.TEXT)
    allow_private: bool = key(values.BOOLEAN, default=False)
    ca_file: str = key(values.TEXT, "")
    proxy_url: str = key(values.OPTIONAL_URL, "")
    proxy_url_file: str = key(values.TEXT, "")


@dataclass(frozen=True)
class EmailChannel:
    """A ``[channels.NAME]`` with ``kind = "email"``; ``sender`` is the key ``from``."""

    host: str = required(values.TEXT)
    sender: str = required(values.TEXT, name="from")
    to: tuple[str, ...] = required(values.TEXTS)
    port: int = key(values.integer(1, 65535), 587)
    security: str = key(values.choice("starttls", "tls", "none"), "starttls")
    username: str = key(values.TEXT, "")
    password_file: str = key(values.TEXT, "")
    helo: str = key(HELO, "")
    ca_file: str = key(values.TEXT, "")


@dataclass(frozen=True)
class WebhookChannel:
    """A ``[channels.NAME]`` with ``kind = "webhook"``."""

    url_file: str = required(values.TEXT)
    allow_private: bool = key(values.BOOLEAN, default=False)
    ca_file: str = key(values.TEXT, "")
    proxy_url: str = key(values.OPTIONAL_URL, "")
    proxy_url_file: str = key(values.TEXT, "")


Channel = SlackChannel | EmailChannel | WebhookChannel


@dataclass(frozen=True)
class RouteConfig:
    """One ``[[routes]]``: alerts whose properties match these globs go to these channels."""

    match: Mapping[str, str]
    channels: tuple[str, ...]


@dataclass(frozen=True)
class Paths:
    """Files below ``data_dir``."""

    data_dir: Path

    @property
    def journal(self) -> Path:
        """The journal."""
        return self.data_dir / "journal.db"

    @property
    def state(self) -> Path:
        """The state database, when it is SQLite at its default place."""
        return self.data_dir / "state.db"

    @property
    def store(self) -> Path:
        """The embedded store."""
        return self.data_dir / "store.db"

    @property
    def shipper(self) -> Path:
        """The shipper's cursor, ledger and last seen."""
        return self.data_dir / "shipper.db"

    @property
    def counters(self) -> Path:
        """The folder where the processes of the api count."""
        return self.data_dir / "counters"

    @property
    def link_key(self) -> Path:
        """The secret that signs the links in messages."""
        return self.data_dir / "link.key"

    @property
    def kept_rules(self) -> Path:
        """The rules files that were right last."""
        return self.data_dir / "rules.last-good.json"

    @property
    def backups(self) -> Path:
        """The folder for the status files of backups."""
        return self.data_dir / "backups"


@dataclass(frozen=True)
class ServerConfig:
    """All of ``server.toml``; ``source`` is the file it came from, ``None`` for defaults only."""

    data_dir: Path
    site: SiteConfig
    api: ApiConfig
    state: StateConfig
    journal: JournalConfig
    store: StoreConfig
    shipper: ShipperConfig
    retention: RetentionConfig
    alerts: AlertsConfig
    channels: Mapping[str, Channel]
    routes: tuple[RouteConfig, ...]
    source: Path | None
    credentials_dir: Path | None

    @property
    def paths(self) -> Paths:
        """Files below ``data_dir``."""
        return Paths(self.data_dir)

    def secret(self, name: str) -> str:
        """Read the secret that a ``*_file`` key names: ``secret(slack.webhook_url_file)``.

        Raises ConfigError when it is missing, empty or readable by others.
        """
        return secrets.read(name, self.credentials_dir, self.source)
