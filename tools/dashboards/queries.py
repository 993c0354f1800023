"""The query type that the SDK lacks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.variants import Dataquery
from tools.dashboards.variables import SOURCE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class FluxQuery(Dataquery):
    """Flux for an InfluxDB data source; it is its own builder's result."""

    def __init__(self, text: str, ref_id: str) -> None:
        self.text = text
        self.ref_id = ref_id

    def to_json(self) -> dict[str, object]:
        """Return what a dashboard's JSON says."""
        return {"datasource": SOURCE, "query": self.text, "refId": self.ref_id}


class FluxBuilder(Builder[Dataquery]):
    """Builds what it was given."""

    def __init__(self, text: str, ref_id: str = "A") -> None:
        self._built = FluxQuery(text, ref_id)

    def build(self) -> Dataquery:
        """Return the query."""
        return self._built


def lettered(texts: Iterable[str]) -> Iterator[FluxBuilder]:
    """Yield the queries of a panel, named A, B and so on."""
    for number, text in enumerate(texts):
        yield FluxBuilder(text, chr(ord("A") + number))
