"""The labelled records in ``tests/data/identity``, and how well persons found agree with them."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

DATA = Path(__file__).parents[1] / "data" / "identity"
Row = dict[str, Any]
Labelled = dict[str, list[Row]]
"""Source to its rows. ``rid`` names a record in its source, ``truth`` says who it is."""


def _read(path: str) -> list[dict[str, str | None]]:
    with (DATA / path).open(encoding="utf-8", newline="") as file:
        return [{name.strip(): (value or "").strip() or None for name, value in row.items() if name} for row in csv.DictReader(file)]


def febrl(*names: str) -> Labelled:
    """People with typing errors: one source for each file."""
    found: Labelled = {}
    for name in names:
        rows = _read(f"febrl_dataset{name}.csv")
        found[name] = [
            {
                "rid": row["rec_id"],
                "truth": (row["rec_id"] or "").split("-")[1],
                "first": row["given_name"],
                "last": row["surname"],
                "last_1": (row["surname"] or "")[:1] or None,
                "born": row["date_of_birth"],
                "ssn": row["soc_sec_id"],
                "number": row["street_number"],
                "street": row["address_1"],
                "city": row["suburb"],
                "postcode": row["postcode"],
            }
            for row in rows
        ]
    return found


def germans() -> Labelled:
    """Names and birth dates, nothing else."""
    rows: list[Row] = []
    for row in _read("RLdata10000.csv"):
        first, last = (row["fname_c1"] or "").lower(), (row["lname_c1"] or "").lower()
        day = f"{row['bm'] or '':0>2}-{row['bd'] or '':0>2}"
        starts = {"first_2": first[:2], "first_3": first[:3], "last_3": last[:3], "year": row["by"], "day": day}
        rows.append({"rid": row["rec_id"], "truth": row["ent_id"], "first": first, "last": last, "born": f"{row['by']}-{day}", **starts})
    return {"germans": rows}


def three_sources() -> Labelled:
    """Customers, reference data and a watch list; each has other columns."""
    truth = {(row["DATA_SOURCE"], row["RECORD_ID"]): row["CLUSTER_ID"] for row in _read("three_sources/actual_truthset_key.csv")}
    found: Labelled = {}
    for source in ("customers", "reference", "watchlist"):
        found[source] = []
        for row in _read(f"three_sources/{source}.csv"):
            person = " ".join(filter(None, (row.get("PRIMARY_NAME_FIRST"), row.get("PRIMARY_NAME_LAST")))) or row.get("PRIMARY_NAME_FULL")
            name = person or row.get("PRIMARY_NAME_ORG") or row.get("NATIVE_NAME_FULL")
            line = row.get("ADDR_LINE1") or row.get("ADDR_FULL")
            kept = {
                "rid": row["RECORD_ID"],
                "truth": truth[row["DATA_SOURCE"], row["RECORD_ID"]],
                "name": name and name.lower(),
                "born": _day(row.get("DATE_OF_BIRTH")),
                "email": row.get("EMAIL_ADDRESS") and str(row["EMAIL_ADDRESS"]).lower(),
                "phone": row.get("PHONE_NUMBER") and re.sub(r"\D", "", str(row["PHONE_NUMBER"]))[-10:],
                "ssn": row.get("SSN_NUMBER") and re.sub(r"\D", "", str(row["SSN_NUMBER"])),
                "passport": row.get("PASSPORT_NUMBER"),
                "licence": row.get("DRIVERS_LICENSE_NUMBER"),
                "tax": row.get("TAX_ID_NUMBER"),
                "national": row.get("NATIONAL_ID_NUMBER"),
                "address": line and " ".join(re.sub(r"[^a-z0-9 ]", "", line.lower()).split()[:2]),
                "kind": row["RECORD_TYPE"],
            }
            found[source].append(
                {key: value for key, value in kept.items() if key in {"rid", "truth"} or value is not None or key == "name"}
            )
    return {source: _rectangular(rows) for source, rows in found.items()}


def _day(text: str | None) -> str | None:
    """A date as year-month-day; the sources write it in many ways."""
    for form in ("%m/%d/%Y", "%m/%d/%y", "%Y-%m-%d", "%d/%m/%Y", "%b %d %Y"):
        try:
            day = datetime.strptime(text or "", form).replace(tzinfo=UTC)
        except ValueError:
            continue
        return f"{day.year if day.year <= 2020 else day.year - 100}-{day:%m-%d}"
    return None


def _rectangular(rows: list[Row]) -> list[Row]:
    names = dict.fromkeys(name for row in rows for name in row)
    return [{name: row.get(name) for name in names} for row in rows]


def pair_scores(labelled: Labelled, persons: Mapping[tuple[str, str], Any]) -> tuple[float, float, float]:
    """Precision, recall and F1 over pairs of records."""
    truth = {(source, str(row["rid"])): row["truth"] for source, rows in labelled.items() for row in rows}
    assert persons.keys() == truth.keys()
    both = _pairs((truth[record], persons[record]) for record in truth)
    precision, recall = both / max(_pairs(persons.values()), 1), both / _pairs(truth.values())
    return precision, recall, 2 * precision * recall / max(precision + recall, 1e-9)


def _pairs(groups: Iterable[Any]) -> int:
    return sum(count * (count - 1) // 2 for count in Counter(groups).values())
