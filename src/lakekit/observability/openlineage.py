"""OpenLineage: what a write did, as the event that lineage servers (Marquez, DataHub, OpenMetadata) understand."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from lakekit._version import __version__
from lakekit.clock import instant_of
from lakekit.engines import sql
from lakekit.engines.types import ident, sql_type
from lakekit.errors import MissingExtraError, TableError
from lakekit.incremental import cas, changes
from lakekit.lineage import noted
from lakekit.names import text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from openlineage.client.event_v2 import RunEvent

    from lakekit.commit import Commit
    from lakekit.engines.plan import TableState
    from lakekit.lake import Lake

PRODUCER: Final = f"lakekit/{__version__}"
_BY: Final[Any] = {"producer": PRODUCER}  # attrs calls a private attribute so, which type checkers don't see
_PLACE: Final = "openlineage_event()"


def openlineage_event(
    lake: Lake, commit: Commit, *, job: str, namespace: str = "lakekit", run_id: str | None = None, now: datetime | None = None
) -> RunEvent:
    """A commit as an OpenLineage event: which job wrote which table from which others, how much, and which column came from which.

    Hand it to a client: ``OpenLineageClient().emit(event)``. Nothing is sent from here. Tables are named ``namespace``, ``silver.users``; a source as its
    bookmark names it: ``postgres:shop/public.users``. Column lineage is known where lakekit's own functions made the columns, as for
    `evolution.propagate`. No value of a row stands in the event.

    Args:
        lake: The lake.
        commit: What a write gave back.
        job: The job's name, such as the task's in an orchestrator.
        namespace: The lake's name among all data sets, and that of its jobs.
        run_id: The run's UUID, where an orchestrator gives one. Default: one made of the table and the write, so that a retry tells the same run.
        now: When it was written, if the commit made no snapshot. Default: the clock's.

    Raises:
        MissingExtraError: The package openlineage-python is not installed.
        TableNotFoundError: The table has been dropped since.

    Source:
        OpenLineage 1.x, object model and facets.

    >>> import lakekit as lk, tempfile
    >>> lake = lk.connect(tempfile.mkdtemp())
    >>> _ = lk.append(lk.from_frame(lake, [{"id": 1}], run_id="a"), into="bronze.things")
    >>> commit = lk.merge(lk.read_new(lake, "bronze.things", into="silver.things"), key="id")
    >>> event = lk.openlineage_event(lake, commit, job="silver_things")
    >>> [data.name for data in event.inputs], event.outputs[0].name
    (['bronze.things'], 'silver.things')
    """
    try:
        from openlineage.client import event_v2 as ol
        from openlineage.client.generated import job_type_job
    except ImportError:
        raise MissingExtraError(_PLACE, "needs the package openlineage-python", hint="pip install 'lakekit[openlineage]'.") from None
    state = lake.load(commit.table, place=_PLACE)
    at = commit.committed_at or instant_of(now, place=f"{_PLACE[:-1]}now=)")
    upstreams = _upstreams(lake, state)
    names = dict.fromkeys(upstreams.values())
    own = f"{namespace}/{state.uuid}/{commit.write_id or commit.snapshot_id or at.isoformat()}"
    kind = job_type_job.JobTypeJobFacet(processingType="BATCH", integration="LAKEKIT", jobType="TASK", **_BY)
    return ol.RunEvent(
        eventType=ol.RunState.COMPLETE,
        eventTime=at.isoformat(),
        producer=PRODUCER,
        run=ol.Run(run_id or str(uuid.uuid5(uuid.NAMESPACE_URL, own))),
        job=ol.Job(namespace, job, {"jobType": kind}),
        inputs=[ol.InputDataset(namespace, name) for name in names],
        outputs=[ol.OutputDataset(namespace, commit.table, _counts(commit), facets=_about(state, commit, upstreams, namespace))],
    )


def _upstreams(lake: Lake, state: TableState) -> dict[str, str]:
    """What a table consumes: the bookmark's name for it, and the one that people know."""
    found = {key: key.removeprefix("side:").removesuffix("#deletes") for key in cas.stored(state).positions}
    wanted, known = {*found.values()}, dict[str, str]()
    for name in lake.engine.tables():
        if wanted <= known.keys():
            break
        try:
            other = lake.find(name)
        except TableError:  # it can't be read, so nobody can tell whether it is one of them
            continue
        if other is not None:
            known[changes.upstream(other)] = text(name)
    return {key: known.get(name, name) for key, name in found.items()}


def _counts(commit: Commit) -> dict[str, Any]:
    from openlineage.client.generated.output_statistics_output_dataset import OutputStatisticsOutputDatasetFacet

    rows = commit.inserted + commit.updated + commit.deleted
    facet = OutputStatisticsOutputDatasetFacet(rowCount=rows, size=commit.bytes, fileCount=commit.files, **_BY)
    return {"outputStatistics": facet}


def _about(state: TableState, commit: Commit, upstreams: Mapping[str, str], namespace: str) -> dict[str, Any]:
    """The table's version and columns, and where these come from."""
    from openlineage.client.generated.column_lineage_dataset import ColumnLineageDatasetFacet, Fields, InputField
    from openlineage.client.generated.dataset_version_dataset import DatasetVersionDatasetFacet
    from openlineage.client.generated.schema_dataset import SchemaDatasetFacet, SchemaDatasetFacetFields

    fields = [SchemaDatasetFacetFields(field.name, sql_type(field.type)) for field in state.schema]
    facets: dict[str, Any] = {"schema": SchemaDatasetFacet(fields, **_BY)}
    if commit.snapshot_id is not None:
        facets["version"] = DatasetVersionDatasetFacet(str(commit.snapshot_id), **_BY)
    made: dict[str, list[Any]] = {}
    for upstream, lineage in noted(state.properties).items():
        if upstream not in upstreams:
            continue
        rest = {field.name: ident(field.name) for field in state.schema if lineage.rest and not field.name.startswith("_")}
        for column, expression in {**rest, **lineage.columns}.items():
            made.setdefault(column, []).extend(
                InputField(namespace, upstreams[upstream], name) for name in sorted(sql.columns_of(expression))
            )
    if made:
        facets["columnLineage"] = ColumnLineageDatasetFacet({column: Fields(inputs) for column, inputs in made.items()}, **_BY)
    return facets
