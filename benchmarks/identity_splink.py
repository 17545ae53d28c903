"""Splink over the same records, blocks, comparisons and vetoes, in a Python of its own: `python identity_splink.py WORK.json`.

WORK.json names a Parquet file of records, the rules as ``Rules.to_dict`` writes them, the thresholds, and where the clusters go.
"""

from __future__ import annotations

import json
import logging
import resource
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import splink.comparison_level_library as levels
import splink.comparison_library as library
from splink import DuckDBAPI, Linker, SettingsCreator, block_on


def likeness(column: str, scorer: str) -> str:
    """SQL: how alike two values are."""
    left, right = f'"{column}_l"', f'"{column}_r"'
    if scorer in ("jaro_winkler", "name"):
        return f"jaro_winkler_similarity({left}, {right})"
    return f"(1 - damerau_levenshtein({left}, {right}) / greatest(length({left}), length({right})))"


def comparison(item: dict[str, Any]) -> Any:
    """One of our comparisons as one of theirs."""
    column = item["column"]
    other = item.get("swapped")
    if other and item["scorer"] in ("date", "email"):
        raise ValueError("Splink's own comparison of dates and e-mails has no level for swapped values")
    if item["scorer"] == "name" and not other:
        return library.NameComparison(column)
    if item["scorer"] == "date":
        return library.DateOfBirthComparison(column, input_is_string=True)
    if item["scorer"] == "email":
        return library.EmailComparison(column)
    equal = levels.ExactMatchLevel(column)
    if item.get("term_frequency"):
        equal = equal.configure(tf_adjustment_column=column)
    between = [levels.CustomLevel(f"({swapped(column, other)})", label_for_charts="swapped")] if other else []
    between += [
        levels.CustomLevel(f"{likeness(column, item['scorer'])} >= {least}", label_for_charts=f">= {least}") for least in item["levels"]
    ]
    return library.CustomComparison(
        output_column_name=column, comparison_levels=[levels.NullLevel(column), equal, *between, levels.ElseLevel()]
    )


def swapped(column: str, other: str) -> str:
    """SQL: values stand in each other's place; where one is missing the other one tells."""
    one, two = f'"{column}_l" = "{other}_r"', f'"{other}_l" = "{column}_r"'
    return f"coalesce({one}, {two}) AND coalesce({two}, {one})"


def vetoed(rule: dict[str, Any]) -> str:
    """SQL: a veto keeps two records apart."""
    left, right = f'"{rule["column"]}_l"', f'"{rule["column"]}_r"'
    differ = f"{left} <> {right}" + (f" AND {likeness(rule['column'], rule['scorer'])} < {rule['below']}" if rule["below"] < 1 else "")
    excuses = [f'"{name}_l" = "{name}_r"' for name in rule["unless"]]
    if other := rule.get("swapped"):
        excuses += [f'{left} = "{other}_r"', f'"{other}_l" = {right}']
    excused = "".join(f" AND NOT coalesce({excuse}, false)" for excuse in excuses)
    return f"({differ}{excused})"


def main() -> None:
    """Train, predict, and cluster at each threshold."""
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    work = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    (rule,) = [one for one in work["rules"]["match"] if one["rule"] == "probabilistic"]
    blocks = [block["columns"] for block in rule["blocks"]]
    began = time.perf_counter()
    connection = duckdb.connect(":memory:")
    connection.execute("SET memory_limit = '9GB'")
    database = DuckDBAPI(connection=connection)
    settings = SettingsCreator(
        link_type="dedupe_only",
        unique_id_column_name="rid",
        comparisons=[comparison(item) for item in rule["compare"]],
        blocking_rules_to_generate_predictions=[block_on(*block) for block in blocks],
        additional_columns_to_retain=sorted(
            {name for veto in work["rules"]["veto"] for name in (veto["column"], *veto["unless"], *filter(None, [veto.get("swapped")]))}
        ),
        retain_intermediate_calculation_columns=False,
        retain_matching_columns=False,
    )
    table = pq.read_table(work["records"])
    linker = Linker(database.register(table), settings)
    linker.training.estimate_probability_two_random_records_match([block_on(*block) for block in work["sure"]], recall=0.8)
    linker.training.estimate_u_using_random_sampling(max_pairs=5e5)
    for block in work["train"]:
        linker.training.estimate_parameters_using_expectation_maximisation(block_on(*block), estimate_without_term_frequencies=True)
    trained = time.perf_counter() - began
    predicted = linker.inference.predict(threshold_match_probability=min(work["thresholds"]))
    if work["rules"]["veto"]:
        keep = " OR ".join(vetoed(veto) for veto in work["rules"]["veto"])
        connection.execute(f"DELETE FROM {predicted.physical_name} WHERE coalesce({keep}, false)")
    pairs = connection.execute(f"SELECT count(*) FROM {predicted.physical_name}").fetchall()[0][0]
    scored = time.perf_counter() - began
    for threshold in work["thresholds"]:
        started = time.perf_counter()
        found = linker.clustering.cluster_pairwise_predictions_at_threshold(predicted, threshold_match_probability=threshold)
        rows: pa.Table = connection.execute(f"SELECT rid, cluster_id FROM {found.physical_name}").to_arrow_table()
        pq.write_table(rows, f"{work['clusters']}.{threshold}.parquet")
        clustered = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"train": trained, "seconds": scored + clustered, "pairs": pairs, "peak": peak}))


if __name__ == "__main__":
    main()
