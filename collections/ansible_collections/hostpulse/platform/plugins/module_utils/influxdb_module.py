"""What the influxdb_* modules share: their options, how they run, what they return."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ansible_collections.hostpulse.platform.plugins.module_utils.durations import (
    parse_whole_seconds,
)
from ansible_collections.hostpulse.platform.plugins.module_utils.http_service import (
    NotThereError,
    ServiceError,
)
from ansible_collections.hostpulse.platform.plugins.module_utils.influxdb import Client
from ansible_collections.hostpulse.platform.plugins.module_utils.secret_file import read_secret
from ansible_collections.hostpulse.platform.plugins.module_utils.service_module import (
    SERVICE,
    end,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from ansible.module_utils.basic import AnsibleModule

COMMON = {
    **SERVICE,
    # A path, no secret; what is in the file is never a parameter.
    "token_file": {"type": "path", "required": True, "no_log": False},
}

_HOUR, _DAY, _WEEK = 3600, 86400, 604800


def duration(text: str, option: str) -> int:
    """Return seconds of ``7d``, ``1h30m``, ``604800``; ``0`` and ``forever`` are without end."""
    if text == "forever":
        return 0
    digits = text.isascii() and text.isdecimal()
    found = int(text) if digits else parse_whole_seconds(text)
    if found is None:
        raise ServiceError(f"{option}: {text!r} is no duration such as 7d, 12h, 604800 or forever")
    return found


def default_shard_group(retention: int) -> int:
    """Return the seconds that InfluxDB itself gives a shard group of a new bucket."""
    if retention == 0 or retention >= 180 * _DAY:
        return _WEEK
    return _DAY if retention >= 2 * _DAY else _HOUR


def run(
    module: AnsibleModule,
    work: Callable[[AnsibleModule, Client], dict[str, Any]],
    **unknown: Any,
) -> None:
    """Do ``work`` with the operator token and end the module with what it returns.

    ``unknown`` is returned in a dry run that misses something which an earlier task makes.
    """

    def signed_in(module: AnsibleModule, client: Client) -> dict[str, Any]:
        try:
            client.sign_in(read_secret(module.params["token_file"], "the operator token"))
        except FileNotFoundError as fault:
            raise NotThereError(f"{fault}; run influxdb_setup, or put it there") from fault
        module.no_log_values.add(client.token)
        client.check_version()
        return work(module, client)

    run_signed_out(module, signed_in, **unknown)


def run_signed_out(
    module: AnsibleModule,
    work: Callable[[AnsibleModule, Client], dict[str, Any]],
    **unknown: Any,
) -> None:
    """Do ``work`` as ``run`` does, but without a token."""
    given = module.params

    def signed_out() -> dict[str, Any]:
        client = Client(
            given["url"],
            ca_file=given["ca_file"],
            timeout=given["timeout"],
            token_file=given["token_file"],
        )
        return work(module, client)

    end(module, signed_out, **unknown)
