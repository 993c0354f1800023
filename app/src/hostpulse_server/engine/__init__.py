"""The loop that evaluates rules as samples arrive and writes down what follows."""

from __future__ import annotations
