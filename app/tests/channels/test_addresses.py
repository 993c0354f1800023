"""Which addresses are the internet's."""

from __future__ import annotations

import pytest

from hostpulse_server.notifications.channels.addresses import is_public

PRIVATE = """
127.0.0.1 127.255.255.254 0.0.0.0 0.1.2.3 10.0.0.1 172.16.0.1 172.31.255.255 192.168.1.1
169.254.0.1 169.254.169.254 100.64.0.1 100.127.255.254 192.0.0.1 192.0.2.1 198.18.0.1 198.51.100.1
203.0.113.7 224.0.0.1 239.255.255.250 240.0.0.1 255.255.255.255
:: ::1 fe80::1 fe80::1%eth0 febf::1 fec0::1 fc00::1 fd12:3456::1 ff02::1 ff0e::1 2001:db8::1 100::1
::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:169.254.169.254 ::ffff:100.64.0.1 ::127.0.0.1 ::10.0.0.1
64:ff9b::7f00:1 64:ff9b::a00:1 64:ff9b::a9fe:a9fe 64:ff9b:1::a00:1 2002:7f00:1:: 2002:a00:1::1
2002:c0a8:101::1 2001:0:4136:e378:8000:63bf:80ff:fffe 4000::1 fd00:ec2::254 2606:4700::1%eth0
"""
PUBLIC = """
1.1.1.1 8.8.8.8 172.15.0.1 172.32.0.1 100.63.255.255 100.128.0.1 192.169.0.1 223.255.255.254
2606:4700:4700::1111 2a00:1450:4001::1 ::ffff:8.8.8.8 64:ff9b::808:808 2002:808:808::1
"""


@pytest.mark.parametrize("address", PRIVATE.split())
def test_what_is_not_of_the_internet_is_told(address: str) -> None:
    """Loopback, private, link-local, shared, test, multicast, reserved, and IPv6 that is these."""
    assert not is_public(address)


@pytest.mark.parametrize("address", PUBLIC.split())
def test_what_is_of_the_internet_is_let_through(address: str) -> None:
    """Neighbours of the ranges, too."""
    assert is_public(address)


@pytest.mark.parametrize("text", ["", "localhost", "1.2.3", "1.1.1.1.", "0x7f.1", "[::1]", "%eth0"])
def test_what_is_no_address_is_none_of_the_internet(text: str) -> None:
    """The system resolves before; whatever it gives must be an address."""
    assert not is_public(text)
