"""clean: apply rules and checks to columns. What fails is kept, with rule and reason, beside the table that is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import attrs

from lakekit import columns as system
from lakekit.batch import Batch, Rejects, Tally
from lakekit.bookmark import hash63
from lakekit.engines import sql
from lakekit.engines.plan import Function, Query
from lakekit.engines.types import arrow_type, ident, sql_type
from lakekit.errors import SchemaError
from lakekit.incremental import sides
from lakekit.incremental.target import require_columns
from lakekit.names import text
from lakekit.rules import ChainFunction, Rule, beside_column, chain_output_type, check_rules, native_chain, plain_chain, source_column
from lakekit.rules.characters import ALL_LATIN
from lakekit.silver import examine

if TYPE_CHECKING:
    import pyarrow as pa

    from lakekit.checks import Check


def clean(batch: Batch, rules: Mapping[str, Rule | Sequence[Rule]], *, checks: Mapping[str, str | Check] | None = None) -> Batch:
    """The batch with clean columns, without the rows that failed; these go to ``<table>__rejects`` when the batch is written.

    Rules run over distinct values. A delete is never rejected: a value it carries that fails is NULL, and checks pass it by.

    Args:
        batch: The rows.
        rules: Column to a rule or a chain of rules, applied from left to right. A column that is not there yet is made of the one that
            ``rules.copy_of()`` names.
        checks: Name to an SQL condition that a row must meet, or to a check of `lakekit.checks`, over the clean values. NULL counts as
            met, as in SQL's CHECK. The commit of the write counts the rows that failed each.

    Raises:
        ConfigError: A rule is none, or a chain doesn't fit together.
        SchemaError: A column is missing, or not of text where a rule wants text.
        QueryError: A check doesn't parse.
        ContractError: At the write: a check of severity ``fail`` fails.

    >>> import lakekit as lk, tempfile
    >>> from lakekit import rules
    >>> batch = lk.from_frame(lk.connect(tempfile.mkdtemp()), [{"email": " Ada@Example.com"}, {"email": "ada"}], run_id="a")
    >>> clean = lk.clean(batch, {"email": [rules.trim(), rules.email()]}, checks={"one each": lk.checks.unique("email")})
    >>> clean.to_arrow().column("email").to_pylist()
    ['ada@example.com']
    """
    chains = check_rules(rules)
    names = batch.columns
    read = {column: source_column(chain, column) for column, chain in chains.items()}
    besides = [other for chain in chains.values() if (other := beside_column(chain)) is not None]
    require_columns(names, [*read.values(), *besides], place="clean()")
    system.refuse_reserved([column for column in chains if column not in names], place="clean()")
    sides.refuse_derived(batch, [*chains, *read.values(), *besides], place="clean()", hint="clean() before lookup().")
    held = examine.named(checks, place="clean")
    if not chains and not held:
        return batch
    functions: dict[str, Function] = {}
    applied = [
        f"{_applied(batch, read[column], chain, functions)} AS `_rule_{index}`" for index, (column, chain) in enumerate(chains.items())
    ]
    shared = Query(f"SELECT {', '.join(['*', *applied])} FROM batch", {"batch": batch.node}, functions)
    deleted = f"coalesce(`{system.OPERATION}` = '{system.DELETE}', false)" if system.OPERATION in names else "false"
    cleaned = {column: _value(batch, read[column], chain, index) for index, (column, chain) in enumerate(chains.items())}
    tallies: tuple[Tally, ...] = ()
    if held:

        def written_by(label: str) -> int | None:
            other = batch.into is not None and text(batch.into) != label
            return None if other or not batch.bookmark else batch.bookmark.write_id(label)

        rows = examine.Rows(batch.lake, shared, _schema(batch, chains, read), cleaned, f"NOT {deleted}", written_by, "clean")
        shared = examine.examined(rows, held)
        tallies = (examine.tally(shared, held, rows.live),)
    failures = [(f"`_rule_{index}`.rule", f"`_rule_{index}`.reason", read[column]) for index, column in enumerate(chains)]
    failures += [_failure(index, name, check) for index, (name, check) in enumerate(held.items()) if check.severity == "reject"]
    every = [*names, *(column for column in chains if column not in names)]
    kept = ", ".join(f"{cleaned[name]} AS {ident(name)}" if name in cleaned else ident(name) for name in every)
    rule = f"coalesce({', '.join([rule for rule, _, _ in failures])}, NULL)" if failures else "CAST(NULL AS STRING)"
    reason = f"coalesce({', '.join([reason for _, reason, _ in failures])}, NULL)" if failures else "CAST(NULL AS STRING)"
    good = Query(f"SELECT {kept} FROM shared WHERE {reason} IS NULL OR {deleted}", {"shared": shared})
    batch = attrs.evolve(batch, node=good, tallies=(*batch.tallies, *tallies))
    if not failures:
        return batch
    about = " ".join(f"WHEN {reason} IS NOT NULL THEN {sql.literal(subject)}" for _, reason, subject in failures)
    original = ", ".join(ident(name) for name in names)
    bad = Query(
        f"SELECT {original}, {rule} AS _rule, {reason} AS _reason, CASE {about} END AS {system.ABOUT} FROM shared WHERE {reason} IS NOT NULL AND NOT {deleted}",
        {"shared": shared},
    )
    return attrs.evolve(batch, rejects=(*batch.rejects, Rejects(bad, shared, batch.origin, batch.since)))


def _failure(index: int, name: str, check: Check) -> tuple[str, str, str]:
    """SQL for the rule and the reason of a row that fails a check, and what they are about."""
    fails = f"`{examine.FAILS}{index}`"
    about = f"the check {name}" if check.reason == "check_failed" else f"{name}: the value"
    return f"CASE WHEN {fails} THEN {sql.literal(name)} END", f"CASE WHEN {fails} THEN '{check.reason}' END", about


def _schema(batch: Batch, chains: Mapping[str, tuple[Rule, ...]], read: Mapping[str, str]) -> pa.Schema:
    """The columns as the rules leave them."""
    import pyarrow as pa

    schema = batch.schema
    kinds = {field.name: field.type for field in schema}
    for column, chain in chains.items():
        words = chain_output_type(chain)
        kinds[column] = schema.field(read[column]).type if words is None else arrow_type(words)
    return pa.schema(list(kinds.items()))


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
    words = f"CAST({ident(column)} AS STRING)"
    native = native_chain(chain, words)
    if native is not None:
        return f"named_struct('value', {native.value}, 'rule', {native.rule}, 'reason', {native.reason})"
    name = f"lk_chain_{hash63(repr(chain))}"
    given = [words] if function.beside is None else [words, f"CAST({ident(function.beside)} AS STRING)"]
    if (
        function.refuses_nothing and batch.lake.engine.name == "embedded"
    ):  # where every text is UTF-8, and a struct costs as much as the rule
        functions[name] = Function(function.values, (pa.string(),), pa.string())
        nothing = "CAST(NULL AS STRING)"
        value = f"{name}({words})"
        if (quick := plain_chain(chain, words)) is not None:
            latin = f"WHEN {words} RLIKE {sql.literal(ALL_LATIN)} THEN {quick} " if function.takes_latin else ""
            value = f"CASE WHEN {words} IS NULL OR lk_is_ascii({words}) THEN {quick} {latin}ELSE {value} END"
        return f"named_struct('value', {value}, 'rule', {nothing}, 'reason', {nothing})"
    functions[name] = Function(function, (pa.string(),) * len(given), function.arrow_type())
    return f"{name}({', '.join(given)})"


def _value(batch: Batch, column: str, chain: tuple[Rule, ...], index: int) -> str:
    """SQL for the clean value; a chain that only checks leaves the column as it is."""
    output = chain_output_type(chain)
    if output is None or (output == "string" and sql_type(batch.schema.field(column).type) != "STRING"):
        return ident(column)
    return f"CAST(`_rule_{index}`.value AS {output})"
