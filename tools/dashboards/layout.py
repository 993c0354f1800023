"""A dashboard, put together from rows of panels."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from grafana_foundation_sdk.builders.dashboard import Dashboard, DashboardLink, Row
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DashboardLinkType,
    GridPos,
)
from tools.dashboards.variables import SOURCE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from grafana_foundation_sdk.builders.dashboard import (
        AnnotationQuery,
        DatasourceVariable,
        QueryVariable,
    )
    from tools.dashboards.panels import Panel

WIDTH = 24
TAG = "hostpulse"
# Classic JSON that Grafana 10.0 takes as it is; later ones migrate it when they load it.
SCHEMA_VERSION = 38
PLUGIN_VERSION = "10.0.0"  # or panels are migrated from what they were before 7


class Heading(NamedTuple):
    """A heading of the rows below it."""

    title: str


class Shelf(NamedTuple):
    """Panels side by side, of one height, as wide as ``widths`` say or all alike."""

    height: int
    panels: Sequence[Panel]
    widths: Sequence[int] = ()

    def placed(self, top: int) -> Iterator[tuple[Panel, GridPos]]:
        """Yield each panel with where it stands."""
        left = 0
        widths = self.widths or [WIDTH // len(self.panels)] * len(self.panels)
        for panel, width in zip(self.panels, widths, strict=True):
            yield panel, GridPos(h=self.height, w=width, x=left, y=top)
            left += width


def dashboard(
    uid: str, title: str, description: str, variables: Sequence[DatasourceVariable | QueryVariable]
) -> Dashboard:
    """Return a dashboard without panels; the crosshair is shared."""
    others = (
        DashboardLink("hostpulse")
        .type(DashboardLinkType.DASHBOARDS)
        .tags([TAG])
        .as_dropdown(as_dropdown=True)
        .include_vars(include_vars=True)
        .keep_time(keep_time=True)
    )
    made = (
        Dashboard(title)
        .uid(uid)
        .description(description)
        .tags([TAG])
        .timezone("browser")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .time("now-6h", "now")
        .refresh("1m")
        .links([others])
    )
    return made.variables(list(variables))


def document(
    made: Dashboard,
    content: Sequence[Heading | Shelf],
    annotations: Sequence[AnnotationQuery] = (),
) -> dict[str, Any]:
    """Return the JSON document of a dashboard with its content, from the top down."""
    number, top = 0, 0
    for one in content:
        if isinstance(one, Heading):
            number += 1
            where = GridPos(h=1, w=WIDTH, x=0, y=top)
            made.with_row(Row(one.title).id(number).collapsed(collapsed=False).grid_pos(where))
            top += 1
            continue
        for panel, where in one.placed(top):
            number += 1
            panel.id(number).datasource(SOURCE).grid_pos(where)
            made.with_panel(panel)
        top += one.height
    made.annotations(list(annotations))
    found: dict[str, Any] = json.loads(json.dumps(made.build(), cls=JSONEncoder))
    for link in found["links"]:
        del link["placement"]  # the SDK would hide it in a menu that only newer versions have
    for panel in found["panels"]:
        if panel["type"] != "row":
            panel["pluginVersion"] = PLUGIN_VERSION
            defaults = panel["fieldConfig"]["defaults"]
            if "links" in defaults:
                defaults["links"] = [plain_link(one) for one in defaults["links"]]
    return found | {"schemaVersion": SCHEMA_VERSION}


def plain_link(link: dict[str, Any]) -> dict[str, Any]:
    """Return what of a link a field may have: the SDK takes it for a dashboard's."""
    return {name: link[name] for name in ("targetBlank", "title", "url")}


def text(found: dict[str, Any]) -> str:
    """Return a document as it is committed: sorted, so that a change is a small difference."""
    return json.dumps(found, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
