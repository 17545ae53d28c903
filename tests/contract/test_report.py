"""The page about a lake: all of it stands there, and no value of a row does."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from typing import Any

import pytest

import lakekit as lk
from lakekit import identity, rules
from lakekit.errors import ConfigError
from tests.contract.helpers import catalog, frame, local

EMPTY = {"meta", "input", "path", "rect"}
SECRETS = ("Ada-the-Secret", "ada-the-secret@example.com", "broken-secret")


class Page(HTMLParser):
    """A page that is read strictly: what is opened is closed, every link leads somewhere."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.text = ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.ids += [given["id"] or ""] if "id" in given else []
        self.links += [(given["href"] or "").removeprefix("#")] if "href" in given else []
        assert "src" not in given, "a page that loads something"
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in EMPTY:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def read(html: str) -> Page:
    page = Page(html)
    assert len(set(page.ids)) == len(page.ids)
    assert set(page.links) <= set(page.ids)
    assert not re.search(r"https?://", html)
    return page


def filled(lake: Any) -> None:
    person = {"id": 1, "name": SECRETS[0], "mail": SECRETS[1], "at": datetime(2026, 1, 1, tzinfo=UTC)}
    lk.append(frame(lake, "a", person, {**person, "id": 2, "mail": SECRETS[2]}), into="bronze.people")
    batch = lk.read_new(lake, "bronze.people", into="silver.people")
    lk.merge(lk.clean(batch, {"mail": rules.email()}), key="id")
    lk.append(frame(lake, "b", {**person, "id": 3, "device": "phone"}), into="bronze.people")
    people = {"shop": lk.read_new(lake, "silver.people", into="silver.identities")}
    lk.resolve_identities(people, record_key={"shop": "id"}, rules=identity.Rules(match=[identity.exact("mail")]))


def test_a_lake_is_shown_without_the_values_of_its_rows(lake: Any) -> None:
    filled(lake)
    html = lk.report(lake, now=datetime.now(UTC) + timedelta(days=3))
    page = read(html)
    for table in ("bronze.people", "silver.people", "silver.identities"):
        assert f"t-{table}" in page.ids
    assert "silver.people: 1 open rejects, email: not_an_email" in page.text
    assert "silver.people consumes bronze.people, 1 snapshots behind" in page.text
    assert "add device: STRING" in page.text
    assert "1 records of 1 people" in page.text
    assert "3 d ago" in page.text
    assert 'lk.maintain(lake, "silver.people", older_than=timedelta(days=7))' in page.text
    assert "__rejects" not in page.text
    assert not any(secret in html for secret in SECRETS)


def test_the_history_of_a_member_is_shown_where_it_is_asked_for(lake: Any) -> None:
    rows = [{"id": 1, "city": city, "at": datetime(2026, month, 1, tzinfo=UTC)} for month, city in ((1, "Bonn"), (3, "<Kiel>"))]
    lk.merge_scd2(frame(lake, "a", *rows), into="gold.dim_people", key="id", effective_at="at", track="city")
    assert "Bonn" not in lk.report(lake)
    page = read(lk.report(lake, timelines={"gold.dim_people": 1}))
    assert "The history of id 1" in page.text
    assert "Bonn → <Kiel>" in page.text
    with pytest.raises(ConfigError, match="the dimension's key is id"):
        lk.report(lake, timelines={"gold.dim_people": {"name": 1}})


def test_a_lake_without_tables(lake: Any) -> None:
    page = read(lk.report(lake))
    assert "0 tables" in page.text
    assert "Nothing." in page.text


def test_a_table_that_is_broken_is_reported_beside_the_others(lake: Any) -> None:
    filled(lake)
    local(catalog(lake).load_table("silver.people").metadata_location).unlink()
    page = read(lk.report(lake))
    assert "silver.people can't be read" in page.text
    assert "t-bronze.people" in page.ids


def test_names_are_no_html(lake: Any) -> None:
    lk.append(frame(lake, "a", {"<b>": 1}), into=("bronze", "<script>alert(1)</script>"))
    html = lk.report(lake)
    read(html)
    assert "<script>alert" not in html


def test_the_present_has_a_time_zone(lake: Any) -> None:
    with pytest.raises(ConfigError, match=r"report\(now=\)"):
        lk.report(lake, now=datetime(2026, 1, 1))  # noqa: DTZ001
