"""Makes the channels of a configuration."""

from __future__ import annotations

import socket
import ssl
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from hostpulse_server.config import EmailChannel, ServerConfig, SlackChannel, WebhookChannel
from hostpulse_server.errors import ConfigError
from hostpulse_server.notifications.channels.email import Email
from hostpulse_server.notifications.channels.http import HttpPoster, trusted
from hostpulse_server.notifications.channels.mail_message import Mailbox
from hostpulse_server.notifications.channels.rendering import Templates
from hostpulse_server.notifications.channels.slack import Slack
from hostpulse_server.notifications.channels.webhook import Webhook
from hostpulse_server.runtime.clock import SYSTEM, Clock

if TYPE_CHECKING:
    from collections.abc import Callable

    from hostpulse_server.notifications.channels.base import Channel


def open_channels(config: ServerConfig, clock: Clock = SYSTEM) -> dict[str, Channel]:
    """Return the channels by name, in the order of the configuration; nothing is sent yet.

    Raises ConfigError that lists, one a line, every channel with a secret that cannot be read or
    an address that cannot be used.
    """
    templates = _templates(config)
    channels: dict[str, Channel] = {}
    faults: list[str] = []
    for name in config.channels:
        try:
            channels[name] = _open(name, config, templates, clock)
        except ConfigError as error:
            faults.append(str(error))
    if faults:
        raise ConfigError("\n".join(faults))
    return channels


def open_channel(name: str, config: ServerConfig, clock: Clock = SYSTEM) -> Channel:
    """Return one channel, whatever is wrong with others. Raises ConfigError."""
    if name not in config.channels:
        there_are = ", ".join(config.channels) or "none"
        raise ConfigError(f"there is no channel {name!r}; in the configuration: {there_are}")
    return _open(name, config, _templates(config), clock)


def look_at(config: ServerConfig) -> None:
    """Raise ConfigError for what is wrong with channels that needs no secret to be seen."""
    faults: list[str] = []
    for name, settings in config.channels.items():
        try:
            if isinstance(settings, EmailChannel):
                _look_at_mail(name, settings)
        except ConfigError as error:
            faults.append(str(error))
    if faults:
        raise ConfigError("\n".join(f"{config.source}: {fault}" for fault in faults))


def _templates(config: ServerConfig) -> Templates:
    return Templates(Path(config.alerts.templates) if config.alerts.templates else None)


def _open(name: str, config: ServerConfig, templates: Templates, clock: Clock) -> Channel:
    settings = config.channels[name]
    if isinstance(settings, EmailChannel):
        _look_at_mail(name, settings)
        password = _password(name, settings, config)
        trust, helo = _trust(name, settings.ca_file), helo_name(config.site.public_url)
        return Email(name, settings, password, templates, trust, helo)
    if isinstance(settings, SlackChannel):
        url = _url(name, "webhook_url_file", settings, config)
        return Slack(name, _poster(name, url, config, clock), templates)
    url = _url(name, "url_file", settings, config)
    return Webhook(name, _poster(name, url, config, clock), templates)


def _poster(name: str, url: str, config: ServerConfig, clock: Clock) -> HttpPoster:
    settings = config.channels[name]
    assert not isinstance(settings, EmailChannel)  # noqa: S101 - for mypy; it has no address
    return HttpPoster(
        url,
        allow_private=settings.allow_private,
        clock=clock,
        trust=_trust(name, settings.ca_file),
        proxy_url=_proxy(name, settings, config),
    )


def _proxy(name: str, settings: SlackChannel | WebhookChannel, config: ServerConfig) -> str:
    where = f"channels.{name}.proxy_url"
    if settings.proxy_url and settings.proxy_url_file:
        raise ConfigError(f"{where}: is given twice, here and by proxy_url_file")
    if "@" in settings.proxy_url:
        raise ConfigError(f"{where}: must hold no login; put the address into a proxy_url_file")
    if not settings.proxy_url_file:
        return settings.proxy_url
    proxy_url = _secret(f"{where}_file", settings.proxy_url_file, config)
    fault = fault_of_url(proxy_url, allow_private=True)
    if fault:
        raise ConfigError(f"{where}_file: {fault}")
    return proxy_url


def _trust(name: str, ca_file: str) -> ssl.SSLContext | None:
    """Return the authorities of a channel's own file, ``None`` for the machine's."""
    try:
        return trusted(ca_file) if ca_file else None
    except OSError as error:  # also one of TLS, for a file that holds no certificate
        why = (
            error.strerror if type(error) is not ssl.SSLError else "it holds no certificate in PEM"
        )
        raise ConfigError(f"channels.{name}.ca_file: {ca_file}: {why}") from None


def helo_name(public_url: str, fqdn: Callable[[], str] = socket.getfqdn) -> str:
    """Return how this server names itself to relays: by its public address, else its own name.

    Never "localhost", which many relays refuse. RFC 5321, 4.1.3: an address goes in brackets.
    """
    for name in (urlsplit(public_url).hostname or "", fqdn()):
        try:
            address = ip_address(name)
        except ValueError:
            is_local = not name.isascii() or {"localhost", "localhost6"} & set(name.split("."))
            if "." in name and not is_local and not name.endswith(".arpa"):
                return name
        else:
            if not address.is_loopback and not address.is_unspecified:
                return f"[{'IPv6:' if address.version == 6 else ''}{address}]"  # noqa: PLR2004
    return "hostpulse.invalid"


def _secret(where: str, file: str, config: ServerConfig) -> str:
    try:
        return config.secret(file)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None


def _url(name: str, key: str, settings: SlackChannel | WebhookChannel, config: ServerConfig) -> str:
    where = f"channels.{name}.{key}"
    url = _secret(where, getattr(settings, key), config)
    fault = fault_of_url(url, allow_private=settings.allow_private)
    if fault:
        raise ConfigError(f"{where}: {fault}")
    return url


def _look_at_mail(name: str, settings: EmailChannel) -> None:
    where = f"channels.{name}"
    if settings.username and not settings.password_file:
        raise ConfigError(f"{where}.password_file: is required with a username")
    if settings.password_file and not settings.username:
        raise ConfigError(f"{where}.username: is required with a password_file")
    if not settings.to:
        raise ConfigError(f"{where}.to: name at least one address")
    for key, addresses in (("from", (settings.sender,)), ("to", settings.to)):
        for address in addresses:
            try:
                Mailbox.parse(address)
            except ValueError as error:
                raise ConfigError(f"{where}.{key}: {address!r} {error}") from None


def _password(name: str, settings: EmailChannel, config: ServerConfig) -> str:
    if not settings.password_file:
        return ""
    return _secret(f"channels.{name}.password_file", settings.password_file, config)


def fault_of_url(url: str, *, allow_private: bool) -> str:
    """Return what is wrong with a secret address and what to do, never showing it; else ``""``."""
    try:
        parts = urlsplit(url)
        port_is_right = parts.port is None or parts.port > 0
    except ValueError:
        return "the file does not hold an address"
    if not url.isascii() or not url.isprintable() or " " in url or not port_is_right:
        return "the file must hold one address in ASCII, on one line"
    if parts.scheme == "http" and not allow_private:
        return "must be an https:// address; http only goes with allow_private = true"
    if parts.scheme not in ("https", "http") or not parts.hostname:
        return "the file must hold an https:// address"
    if (parts.username is not None or parts.password is not None) and not allow_private:
        return "the address must not hold a user name or a password"
    return ""
