"""What shows itself: as text, as HTML, and as rich prints it."""

from __future__ import annotations

import io
import sys
from html.parser import HTMLParser

import attrs
import pyarrow as pa
import pytest
from rich.console import Console

import lakekit as lk
from lakekit import evolution, gold, identity
from lakekit.display import Shown, View
from lakekit.identity.explanation import Step
from lakekit.identity.network import Edge
from lakekit.identity.shared import SharedValue
from lakekit.identity.weighing import Weight
from lakekit.observability.status import Status, TableStatus

NASTY = '<script>alert("[red]x[/red]")</script>'
COMMIT = lk.Commit(
    table=NASTY, committed=True, read=3, inserted=2, unchanged=1, checks={NASTY: 1}, seconds={"plan": 0.25}, operation="merge"
)
DIFFERENCE = evolution.diff(pa.schema([]), pa.schema([(NASTY, pa.int64())]))
RESULTS = [
    COMMIT,
    DIFFERENCE,
    evolution.SchemaPlan(NASTY, tuple(evolution.Step(change, "evolve") for change in DIFFERENCE.changes)),
    evolution.SchemaPlan(NASTY, ()),
    evolution.Drift(same=(NASTY,), failed={NASTY: "why"}),
    Status((TableStatus(NASTY, None, 1, 0, 1, None, ()),)),
    TableStatus(NASTY, None, None, 0, 0, None, (), problem=NASTY),
    identity.Explanation(NASTY, ("shop", NASTY), ("shop", "2"), (1, 2), "two persons", (Step(("shop", NASTY), ("shop", "2"), (), (), ()),)),
    identity.SharedValues(NASTY, (SharedValue((NASTY,), 5, 2, 3),)),
    identity.Weights(-1.0, 3.0, (Weight(NASTY, "equal", 4.0, None),)),
    identity.Graph(NASTY, 1, (("shop", NASTY), ("shop", "2")), (Edge(("shop", NASTY), ("shop", "2"), ((NASTY, 1.0),)),)),
    identity.Tradeoff(1, 0, ()),
    gold.Verification(NASTY, 1, 1, {NASTY: 2}),
    gold.Timeline(NASTY, {"id": NASTY}, (), ("valid_from", "valid_to")),
]


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)


def printed(value: object) -> str:
    console = Console(file=io.StringIO(), width=400)
    console.print(value)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize("result", RESULTS, ids=lambda result: type(result).__name__)
def test_a_result_shows_itself_everywhere_and_is_escaped(result: Shown) -> None:
    html, text, rich = result._repr_html_(), repr(result), printed(result)
    tags = Tags()
    tags.feed(html)
    assert "script" not in tags.seen
    assert "&lt;script&gt;" in html or NASTY not in str(result)
    assert text == (f"<Commit {result}>" if isinstance(result, lk.Commit) else str(result))
    assert NASTY in rich or NASTY not in str(result)
    assert not text.startswith(f"{type(result).__name__}(")


def test_every_printable_result_shows_itself_in_a_notebook_and_in_rich() -> None:
    shown = {type(result) for result in RESULTS} | {lk.Lake, lk.Batch, identity.Pairs}
    printable = {
        value
        for module in (lk, evolution, gold, identity)
        for name in module.__all__
        if isinstance(value := getattr(module, name), type) and attrs.has(value) and "rintable" in (value.__doc__ or "")
    }
    assert printable - shown == set()
    assert all(hasattr(kind, "__rich__") and hasattr(kind, "_repr_html_") for kind in shown)


def test_a_commit_shows_what_counts() -> None:
    assert repr(lk.Commit(table="silver.users", committed=True, read=3, inserted=2)) == "<Commit silver.users: read 3, inserted 2>"
    assert str(lk.Commit(table="silver.users", committed=True, snapshots_expired=4, files_removed=9)) == (
        "silver.users: 4 snapshots expired, 9 files removed"
    )
    rows = dict(COMMIT._view().rows)
    assert rows == {
        "read": "3",
        "inserted": "2",
        "updated": "0",
        "deleted": "0",
        "unchanged": "1",
        f"failed {NASTY}": "1",
        "plan (s)": "0.25",
    }
    assert printed(COMMIT).count("\n") > 8


def test_a_lake_of_many_tables_names_a_hundred(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    lake = lk.connect(str(tmp_path))
    monkeypatch.setattr(type(lake), "tables", lambda _: [f"bronze.t{number}" for number in range(250)])
    assert "bronze.t99<" in lake._repr_html_()
    assert "bronze.t100<" not in lake._repr_html_()
    assert "and 150 more" in lake._repr_html_()
    assert "bronze.t99" in printed(lake)
    assert str(lake) == repr(lake) == f"<Lake {tmp_path} (embedded)>"


def test_what_has_no_table_is_text() -> None:
    assert View("a\nb & c").html() == "<pre>a\nb &amp; c</pre>"
    assert printed(View("[b]a[/b]").rich()) == "[b]a[/b]\n"


def test_showing_loads_rich_only_when_rich_prints(tmp_path: object) -> None:
    import subprocess

    program = "import sys; from lakekit.commit import Commit; Commit(table='a.b')._repr_html_(); print('rich' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "False\n"
