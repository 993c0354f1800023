"""The variables above dashboards."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import DatasourceVariable, QueryVariable
from grafana_foundation_sdk.models.common import DataSourceRef
from grafana_foundation_sdk.models.dashboard import (
    VariableOption,
    VariableRefresh,
    VariableSort,
)
from tools.dashboards import flux

UID = "hostpulse"  # of the data source that the role provisions
SOURCE = DataSourceRef(type_val="influxdb", uid="${datasource}")
_ALL = VariableOption(selected=True, text="All", value="$__all")
# Labels are in the registry; of all measurements, only `server` has them as tags. A host without
# the label is among all.
_ANY = ".*"
_LABELLED = ("r.env =~ /^${environment:regex}$/", "r.group =~ /^${group:regex}$/")


def datasource() -> DatasourceVariable:
    """Return which InfluxDB: every query of ours names it by this variable."""
    return (
        DatasourceVariable("datasource")
        .label("Data source")
        .description("The InfluxDB that hostpulse writes to.")
        .type("influxdb")
        .current(VariableOption(selected=True, text=UID, value=UID))
    )


def labels() -> list[QueryVariable]:
    """Return environment and group, which narrow the list of servers."""
    in_environment = ('r._measurement == "server"', _LABELLED[0])
    return [
        _several("environment", "Environment", flux.tag_values("env", in_environment[0]))
        .description("Servers whose label env is one of these.")
        .all_value(_ANY),
        _several("group", "Group", flux.tag_values("group", *in_environment))
        .description("Servers whose label group is one of these.")
        .all_value(_ANY),
    ]


def servers() -> QueryVariable:
    """Return any number of servers; all are listed one by one, as only this list has labels."""
    return _several("server", "Server", _servers()).description(
        "Registered servers of these environments and groups."
    )


def server() -> QueryVariable:
    """Return one server."""
    return _query("server", "Server", _servers()).description(
        "A registered server of these environments and groups."
    )


def of_server(name: str, label: str, measurement: str) -> QueryVariable:
    """Return some of what a server has several of, such as mounts."""
    text = flux.tag_values(name, f'r._measurement == "{measurement}"', flux.SERVER)
    return _several(name, label, text).description(f"Some of what the server has as {name}.")


def rule() -> QueryVariable:
    """Return rules that something happened to."""
    text = flux.tag_values("rule", 'r._measurement == "alert"')
    return (
        _several("rule", "Rule", text)
        .description("Rules by which an alert began, changed or ended in this time.")
        .all_value(_ANY)
    )


def _servers() -> str:
    return flux.tag_values("server_id", 'r._measurement == "server"', *_LABELLED)


def _several(name: str, label: str, text: str) -> QueryVariable:
    return _query(name, label, text).multi(multi=True).include_all(include_all=True).current(_ALL)


def _query(name: str, label: str, text: str) -> QueryVariable:
    return (
        QueryVariable(name)
        .label(label)
        .datasource(SOURCE)
        .query(text)
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.NATURAL_ASC)
    )
