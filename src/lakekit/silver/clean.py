"""clean: apply rules and checks to columns. What fails is kept, with rule and reason, beside the table that is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs

from lakekit import columns as system
from lakekit.batch import Batch, Rejects
from lakekit.bookmark import hash63
from lakekit.engines import sql
from lakekit.engines.plan import Function, Query
from lakekit.engines.types import ident, sql_type
from lakekit.errors import SchemaError
from lakekit.incremental import sides
from lakekit.incremental.target import require_columns
from lakekit.rules import ChainFunction, Rule, beside_column, check_rules, native_chain, source_column


def clean(batch: Batch, rules: Mapping[str, Rule | Sequence[Rule]], *, checks: Mapping[str, str] | None = None) -> Batch:
    """The batch with clean columns, without the rows that failed; these go to ``<table>__rejects`` when the batch is written.

    Rules run over distinct values. A delete is never rejected: a value it carries that fails is NULL.

    Args:
        batch: The rows.
        rules: Column to a rule or a chain of rules, applied from left to right.
        checks: Name to an SQL condition that a row must meet. NULL counts as met, as in SQL's CHECK.

    Raises:
        ConfigError: A rule is none, or a chain doesn't fit together.
        SchemaError: A column is missing, or not of text where a rule wants text.
        QueryError: A check doesn't parse.

    >>> import lakekit as lk, tempfile
    >>> from lakekit import rules
    >>> batch = lk.from_frame(lk.connect(tempfile.mkdtemp()), [{"email": " Ada@Example.com"}, {"email": "ada"}], run_id="a")
    >>> lk.clean(batch, {"email": [rules.trim(), rules.email()]}).to_arrow().column("email").to_pylist()
    ['ada@example.com']
    """
    chains = check_rules(rules)
    names = batch.columns
    read = {column: source_column(chain, column) for column, chain in chains.items()}
    besides = [other for chain in chains.values() if (other := beside_column(chain)) is not None]
    require_columns(names, [*read.values(), *besides], place="clean()")
    system.refuse_reserved([column for column in chains if column not in names], place="clean()")
    sides.refuse_derived(batch, [*chains, *read.values(), *besides], place="clean()", hint="clean() before lookup().")
    conditions = {name: sql.expression(words, names, place=f"clean(checks={name!r})") for name, words in (checks or {}).items()}
    functions: dict[str, Function] = {}
    applied = [
        f"{_applied(batch, read[column], chain, functions)} AS `_rule_{index}`" for index, (column, chain) in enumerate(chains.items())
    ]
    shared = Query(f"SELECT {', '.join(['*', *applied])} FROM batch", {"batch": batch.node}, functions)
    failures = [(f"`_rule_{index}`.rule", f"`_rule_{index}`.reason", read[column]) for index, column in enumerate(chains)]
    failures += [
        (_check(name, words), f"CASE WHEN NOT ({words}) THEN 'check_failed' END", f"the check {name}") for name, words in conditions.items()
    ]
    if not failures:
        return batch
    rule = f"coalesce({', '.join([rule for rule, _, _ in failures])}, NULL)"
    reason = f"coalesce({', '.join([reason for _, reason, _ in failures])}, NULL)"
    about = " ".join(f"WHEN {reason} IS NOT NULL THEN {sql.literal(subject)}" for _, reason, subject in failures)
    deleted = f"`{system.OPERATION}` = '{system.DELETE}'" if system.OPERATION in names else "false"
    cleaned = {column: _value(batch, read[column], chain, index) for index, (column, chain) in enumerate(chains.items())}
    every = [*names, *(column for column in chains if column not in names)]
    kept = ", ".join(f"{cleaned[name]} AS {ident(name)}" if name in cleaned else ident(name) for name in every)
    original = ", ".join(ident(name) for name in names)
    good = Query(f"SELECT {kept} FROM shared WHERE {reason} IS NULL OR {deleted}", {"shared": shared})
    bad = Query(
        f"SELECT {original}, {rule} AS _rule, {reason} AS _reason, CASE {about} END AS {system.ABOUT} FROM shared WHERE {reason} IS NOT NULL AND NOT {deleted}",
        {"shared": shared},
    )
    return attrs.evolve(batch, node=good, rejects=(*batch.rejects, Rejects(bad, shared, batch.origin, batch.since)))


def _check(name: str, condition: str) -> str:
    return f"CASE WHEN NOT ({condition}) THEN {sql.literal(name)} END"


def _applied(batch: Batch, column: str, chain: tuple[Rule, ...], functions: dict[str, Function]) -> str:
    """SQL for the struct (value, rule, reason) of one column."""
    import pyarrow as pa

    function = ChainFunction(chain)
    kind = batch.schema.field(column).type
    if function.input_type == "string" and not pa.types.is_string(kind):
        raise SchemaError(
            f"clean({column!r})",
            f"the rule {chain[0].name!r} expects text",
            got=sql_type(kind),
            hint="CAST it in a select() before, or leave the rule out.",
        )
    text = f"CAST({ident(column)} AS STRING)"
    native = native_chain(chain, text)
    if native is not None:
        return f"named_struct('value', {native.value}, 'rule', {native.rule}, 'reason', {native.reason})"
    name = f"lk_chain_{hash63(repr(chain))}"
    given = [text] if function.beside is None else [text, f"CAST({ident(function.beside)} AS STRING)"]
    functions[name] = Function(function, (pa.string(),) * len(given), function.arrow_type())
    return f"{name}({', '.join(given)})"


def _value(batch: Batch, column: str, chain: tuple[Rule, ...], index: int) -> str:
    """SQL for the clean value; a chain that only checks leaves the column as it is."""
    output = ChainFunction(chain).output_type
    if output is None or (output == "string" and sql_type(batch.schema.field(column).type) != "STRING"):
        return ident(column)
    return f"CAST(`_rule_{index}`.value AS {output})"
