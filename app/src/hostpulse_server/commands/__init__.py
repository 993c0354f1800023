"""One module a group of commands; the table in ``cli.py`` names them."""

from __future__ import annotations
