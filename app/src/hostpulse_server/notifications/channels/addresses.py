"""Which network addresses are public: only those are posted to, however a name resolves.

RFC 6890 and the registries it made list what is not global; an IPv6 address that carries an IPv4
one is as good as that.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Final

_NAT64: Final = IPv6Network("64:ff9b::/96")  # RFC 6052
_NAT64_LOCAL: Final = IPv6Network("64:ff9b:1::/48")  # RFC 8215
_COMPATIBLE: Final = IPv6Network("::/96")  # RFC 4291, deprecated, still routed by some
_SITE_LOCAL: Final = IPv6Network("fec0::/10")  # RFC 3879
_UNICAST: Final = IPv6Network("2000::/3")  # all that is given out


def is_public(text: str) -> bool:
    """Return whether an address, perhaps with a zone (``fe80::1%eth0``), is one of the internet."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return False
    return "%" not in text and _is_global(address)


def _is_global(address: IPv4Address | IPv6Address) -> bool:
    if isinstance(address, IPv6Address):
        carried = _carried(address)
        if carried is not None:
            return _is_global(carried)
        if address not in _UNICAST or address in _SITE_LOCAL:
            return False
    return (
        address.is_global
        and not address.is_multicast
        and not address.is_reserved
        and not address.is_unspecified
    )


def _carried(address: IPv6Address) -> IPv4Address | None:
    """Return the IPv4 address that traffic to this one ends up at, if it is of such a kind."""
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    if address in _NAT64 or address in _NAT64_LOCAL or address in _COMPATIBLE:
        return IPv4Address(address.packed[-4:])
    return None
