"""How well persons are found, on labelled records. A change that makes it worse fails here."""

from __future__ import annotations

from typing import Any

import lakekit as lk
from lakekit import identity
from lakekit.identity import compare
from tests.contract.helpers import frame
from tests.contract.labelled import Labelled, febrl, germans, pair_scores, three_sources

INTO = "silver.identities"
NAME = (0.92, 0.88, 0.7)
FEBRL = identity.Rules(
    match=[
        identity.probabilistic(
            compare=[
                compare("first", levels=NAME),
                compare("last", levels=NAME),
                compare("born", levels=(0.85, 0.7), scorer="osa"),
                compare("ssn", levels=(0.85, 0.7), scorer="osa"),
                compare("number", levels=()),
                compare("street", levels=(0.9, 0.8)),
                compare("city", levels=(0.9, 0.8)),
                compare("postcode", levels=(0.75, 0.5), scorer="osa"),
            ],
            block=[
                "ssn",
                ("born", "last_1"),
                ("first", "postcode"),
                ("last", "postcode"),
                ("first", "last"),
                ("street", "number"),
                ("city", "number"),
            ],
        )
    ]
)
GERMANS = identity.Rules(
    match=[
        identity.probabilistic(
            compare=[compare("first", scorer="name"), compare("last", scorer="name"), compare("born", scorer="date")],
            block=[("first", "last"), ("first_2", "born"), ("last", "year"), ("first", "year"), ("last_3", "day"), ("first_3", "last_3")],
        )
    ]
)
THREE_SOURCES = identity.Rules(
    match=[
        *(identity.exact(column) for column in ("ssn", "passport", "tax", "national")),
        *(identity.fuzzy("name", at_least=0.85, within=column) for column in ("licence", "email", "phone", "address", "born")),
        identity.fuzzy("name", at_least=0.9, within="born", scorer="token_sort"),
    ],
    never=[identity.veto("kind"), identity.veto("ssn"), identity.veto("born", below=0.8, unless=("ssn", "passport"), scorer="osa")],
)


def found(lake: Any, labelled: Labelled, rules: identity.Rules) -> tuple[float, float, float]:
    batches = {
        source: frame(lake, "a", *({k: v for k, v in row.items() if k != "truth"} for row in rows)) for source, rows in labelled.items()
    }
    if rules.probabilistic:
        batch = lk.union_by_name(*batches.values()) if len(batches) > 1 else next(iter(batches.values()))
        rules = identity.train(batch, rules=rules)
    lk.resolve_identities(batches, record_key=dict.fromkeys(batches, "rid"), rules=rules, into=INTO)
    rows = lk.read(lake, INTO).to_arrow().to_pylist()
    return pair_scores(labelled, {(row["source"], row["record_key"]): row["master_user_id"] for row in rows if row["kind"] == "record"})


def test_people_with_typing_errors_in_one_source(lake: Any) -> None:
    precision, recall, f1 = found(lake, febrl("3"), FEBRL)
    assert precision >= 0.999
    assert recall >= 0.995
    assert f1 >= 0.998


def test_people_with_typing_errors_in_two_sources(lake: Any) -> None:
    precision, recall, f1 = found(lake, febrl("4a", "4b"), FEBRL)
    assert precision >= 0.999
    assert recall >= 0.998
    assert f1 >= 0.998


def test_names_and_birth_dates_alone(lake: Any) -> None:
    precision, recall, f1 = found(lake, germans(), GERMANS)
    assert precision >= 0.975
    assert recall >= 0.93
    assert f1 >= 0.955


def test_three_sources_made_to_mislead_by_rules_alone(lake: Any) -> None:
    precision, recall, f1 = found(lake, three_sources(), THREE_SOURCES)
    assert precision >= 0.84
    assert recall >= 0.68
    assert f1 >= 0.75
