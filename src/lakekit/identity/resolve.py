"""resolve_identities: which records, of whichever source, are one person; under ids that stay."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Generator, Mapping
from datetime import datetime

import attrs

from lakekit import progress
from lakekit.batch import Batch
from lakekit.bookmark import Bookmark, canonical
from lakekit.clock import instant_of
from lakekit.commit import Commit
from lakekit.engines.plan import TableState
from lakekit.errors import CommitConflictError, ConfigError, QueryError
from lakekit.identity import assign, block, decide, link, records
from lakekit.identity.rules import Rules, require_trained
from lakekit.identity.tables import IDENTITIES, LINKS, PLACE, PROPERTY, RECORDS, Run, noted_keys, open_table
from lakekit.incremental import cas, changes, rejects, sides, target
from lakekit.lake import Lake
from lakekit.names import Columns, Identifier, TableName, text
from lakekit.names import columns as as_columns
from lakekit.operations import operation


@operation
def resolve_identities(
    batches: Mapping[str, Batch],
    *,
    record_key: Mapping[str, Columns],
    rules: Rules,
    into: TableName | None = None,
    rebuild: bool = False,
    now: datetime | None = None,
    dry_run: bool = False,
    max_reject_fraction: float | None = None,
) -> Commit:
    """Find out which records are one person, and give each person an id that stays.

    Who is with whom depends on the living records and the rules alone: any order and batching of the records gives the same persons. Ids
    depend on history, so that they stay: of two persons that turn out to be one, the id with more records is kept (then the older, then the
    lesser one) and the other becomes its alias; of a person that turns out to be two, the larger part keeps the id. Only records connected
    with a changed one are looked at again.

    Args:
        batches: Source to batch: new, changed and deleted records, from `read_new` or `from_frame`. Sources may have different columns.
        record_key: Source to the column, or columns, that name a record in it.
        rules: Who is who, see `lakekit.identity`.
        into: The table. Default: the one ``read_new(into=)`` named. Made if missing.
        rebuild: Look at every record again, by these rules. Needed when the rules have changed; ids are carried over.
        now: The instant written to ``assigned_at``. Default: the clock.
        dry_run: Count, and write nothing.
        max_reject_fraction: Refuse to write when more of the records are rejected.

    Writes:
        One row for each record (``kind = 'record'``): ``source``, ``record_key`` (text; several columns joined by ``|``), ``master_user_id``,
        ``former_user_id`` (the id it had before; NULL: none), ``generation`` (the run that made the id), ``assigned_at`` (UTC), ``_write_id``,
        ``_deleted_at`` (NULL: the record lives). One for each id no longer used (``'alias'``): ``former_user_id``, and ``master_user_id`` that
        took over (NULL: no record is left). One for each pair of ids between which records went while the former lived on (``'split'``).
        What it is derived from stands in ``<into>__records``, ``<into>__keys`` and ``<into>__links``.

    Returns:
        A Commit; ``shared_too_often`` says how many of the values looked at are no evidence, because too many records share them.

    Raises:
        ConfigError: Arguments that don't fit together, an untrained rule, other rules than the table was made by, or decisions that
            contradict earlier ones.
        SchemaError: A named column is missing.
        ContractError: Too many rejects.
        CommitConflictError: Another run consumed a part of the batches first.

    >>> import lakekit as lk, tempfile
    >>> from lakekit import identity
    >>> lake = lk.connect(tempfile.mkdtemp())
    >>> shop = lk.from_frame(lake, [{"user_id": 1, "email": "ada@example.com"}, {"user_id": 2, "email": "bo@example.com"}], run_id="a")
    >>> market = lk.from_frame(lake, [{"buyer_id": "x", "email": "ada@example.com"}], run_id="a")
    >>> rules = identity.Rules(match=[identity.exact("email")])
    >>> keys = {"shop": "user_id", "market": "buyer_id"}
    >>> lk.resolve_identities({"shop": shop, "market": market}, record_key=keys, rules=rules, into="silver.identities").inserted
    3
    >>> len(set(lk.read(lake, "silver.identities").to_arrow().column("master_user_id").to_pylist()))
    2
    """
    instant = instant_of(now, place=f"{PLACE}(now=)")
    require_trained(rules, place=f"{PLACE}(rules=)")
    lake, into_ = _target(batches, into)
    sources = _sources(batches, record_key)
    bookmark = _united(batches)
    main = lake.find(into_)
    done = None
    if main is not None:
        lake.engine.require_writable(main)
        target_write = bookmark.write_id(main.label)
        if cas.judge(main, bookmark, target_write) == "done":
            done = Commit(table=main.label, write_id=target_write)
        elif not rebuild:
            _refuse_other_rules(lake, main, rules)
            done = Commit(table=main.label) if _is_up_to_date(lake, main, bookmark) else None
        if done and not rules.overrides:
            return done
    phases: dict[str, float] = {}
    with lake.engine.session() as session:
        run = Run(lake, session, into_, rules, instant, dry_run=dry_run, rebuild=rebuild)
        if main is not None and done:
            if not rebuild:
                _refuse_other_rules(lake, main, rules)
            if not decide.pending(run, main):
                return done
            # The batches were taken up by an earlier run, and only the decisions are new.
            sources, bookmark = [source.without_rows() for source in sources], Bookmark(epoch=cas.stored(main).epoch)
        _require_columns(run, sources)
        with _timed(phases, "read"):
            incoming = records.gather(run, sources)
        rejects.refuse_too_many(incoming.figures.rejected, incoming.figures.read, max_reject_fraction, into=into_)
        if not dry_run:
            for item in incoming.bad:
                rejects.write(lake, session, into_, item, bookmark)
            _note(run, record_key)
        with _timed(phases, "records"):
            recorded = records.update(run, incoming, bookmark)
        with _timed(phases, "keys"):
            keys = block.update(run, recorded)
        with _timed(phases, "links"):
            links, capped = link.update(run, recorded, keys, decide.update(run))
        with _timed(phases, "identities"):
            commit = assign.update(run, recorded, links, bookmark, incoming.figures, incoming.rows)
    return attrs.evolve(commit, seconds=phases, shared_too_often=capped)


@contextlib.contextmanager
def _timed(phases: dict[str, float], name: str) -> Generator[None]:
    started = time.perf_counter()
    progress.note(name)
    yield
    phases[name] = time.perf_counter() - started


def _target(batches: Mapping[str, Batch], into: TableName | None) -> tuple[Lake, Identifier]:
    """The lake and the table that all batches are for."""
    if not isinstance(batches, Mapping) or not batches:  # pyright: ignore[reportUnnecessaryIsInstance] -- users are not type-checked
        raise ConfigError(f"{PLACE}()", "expected a mapping of source to batch", hint='write {"postgres": lk.read_new(…)}.')
    for name, batch in batches.items():
        if not isinstance(name, str) or not name or not isinstance(batch, Batch):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigError(f"{PLACE}()", "expected a mapping of source to batch", got=f"{name!r}: {type(batch).__name__}")
        if not batch.bookmark and batch.into is None:
            raise ConfigError(
                f"{PLACE}(): source {name!r}",
                "the batch has no bookmark, so what it holds can't be told from what came before",
                hint="read it with read_new(), or give from_frame() a run_id.",
            )
    targets = {target.resolve(batch, into, place=PLACE) for batch in batches.values()}
    lakes = {batch.lake.where: batch.lake for batch in batches.values()}
    if len(targets) > 1 or len(lakes) > 1:
        raise ConfigError(
            f"{PLACE}()",
            "the batches were read for different tables or lakes",
            got=", ".join(sorted({*map(text, targets), *(lakes if len(lakes) > 1 else ())})),
            hint="read all of them with the same read_new(into=).",
        )
    return next(iter(lakes.values())), next(iter(targets))


def _sources(batches: Mapping[str, Batch], record_key: Mapping[str, Columns]) -> list[records.Source]:
    """The batches with the columns that name their records."""
    if set(batches) != set(record_key):
        raise ConfigError(
            f"{PLACE}(record_key=)",
            f"expected a key for each of {', '.join(sorted(batches))}",
            got=", ".join(sorted(record_key)) or "none",
            hint='write {"postgres": "user_id"}.',
        )
    found: list[records.Source] = []
    for name in sorted(batches):
        place = f"{PLACE}(record_key=): source {name!r}"
        key = as_columns(record_key[name], place=place)
        target.require_columns(batches[name].columns, key, place=place)
        sides.refuse_sides(batches[name], place=place, hint="resolve the records first, and look them up later.")
        if batches[name].audits:
            raise ConfigError(place, "identities can't be audited: they are several tables, written one after another", got="audit()")
        found.append(records.Source(name, batches[name], key))
    return found


def _united(batches: Mapping[str, Batch]) -> Bookmark:
    bookmark = Bookmark()
    for batch in batches.values():
        try:
            bookmark = bookmark.union(batch.bookmark)
        except QueryError as error:
            raise QueryError(f"{PLACE}()", error.problem, got=error.got, hint=error.hint) from None
    return bookmark


def _is_up_to_date(lake: Lake, main: TableState, bookmark: Bookmark) -> bool:
    """Whether the batches hold nothing new, and no run that broke off has left anything to be taken up."""
    if bookmark.run_id is not None or any(span.start != span.end for span in bookmark.spans.values()):
        return False
    seen = cas.stored(main).positions
    for layout in (RECORDS, LINKS):
        state = lake.find(layout.name(main.name))
        position = seen.get(changes.upstream(state)) if state else None
        if state is None or (state.current is not None and (position is None or position.at < state.current.sequence)):
            return False
    return True


def _refuse_other_rules(lake: Lake, main: TableState, rules: Rules) -> None:
    """Raise where the table was made by other rules: some persons would follow these and some those."""
    recorded = lake.find(RECORDS.name(main.name))
    position = cas.stored(main).positions.get(changes.upstream(recorded)) if recorded else None
    if position is not None and position.values.get("rules") != rules.fingerprint:
        raise ConfigError(
            f"{PLACE}(rules=): {main.label}",
            "the table was resolved by other rules",
            hint="rebuild=True looks at every record again, by these, and carries the ids over.",
        )


def _require_columns(run: Run, sources: list[records.Source]) -> None:
    """Raise where no source has a column that the rules read, or where the records kept so far lack it."""
    given = {name for source in sources for name in source.batch.columns}
    state = run.lake.find(RECORDS.name(run.into))
    kept = set(state.schema.names) if state is not None and state.head is not None else set[str]()
    target.require_columns(sorted(given | kept), run.rules.columns, place=f"{PLACE}(rules=)")
    missing = [name for name in run.rules.columns if kept and name not in kept]
    if missing and any(span.start is not None for source in sources for span in source.batch.bookmark.spans.values()):
        raise ConfigError(
            f"{PLACE}(rules=): {text(run.into)}",
            "the records kept so far lack a column that these rules read",
            got=", ".join(missing),
            hint="rewind() the table, so that every record is read again with it.",
        )


def _note(run: Run, record_key: Mapping[str, Columns]) -> None:
    """Note rules and record keys as a property of the table, for `golden`, `explain` and people."""
    for _ in range(8):
        state = open_table(run, IDENTITIES).state
        assert state is not None  # noqa: S101 -- opened for writing
        before = state.properties.get(PROPERTY)
        known = noted_keys(state)
        given = {name: list(as_columns(key, place=PLACE)) for name, key in record_key.items()}
        for name, key in given.items():
            if known.get(name, key) != key:
                raise ConfigError(
                    f"{PLACE}(record_key=): source {name!r}",
                    f"its records are known by {', '.join(known[name])}",
                    got=", ".join(key),
                    hint="use the same key, or another name for the source.",
                )
        kept = attrs.evolve(run.rules, overrides=())
        after = canonical({"algorithm": kept.algorithm, "record_key": {**known, **given}, "rules": kept.to_dict()})
        if after == before:
            return
        try:
            run.lake.engine.set_properties(state, {PROPERTY: after}, expect={PROPERTY: before})
        except CommitConflictError:
            continue
        return
    raise CommitConflictError(text(run.into), "its properties never stood still", hint="run it again.")
