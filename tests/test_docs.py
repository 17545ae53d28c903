"""What the documentation says runs: each page's code, in order, in a folder of its own; and every public name is in the reference."""

from __future__ import annotations

import contextlib
import inspect
import io
import re
from pathlib import Path

import psycopg
import pytest

import lakekit as lk
from examples.shop import world

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```python(?P<mark>[^\n]*)\n(?P<code>.*?)^```", re.DOTALL | re.MULTILINE)
NEED_A_SERVER = {
    "README.md",
    "docs/how-to/airflow.md",
    "docs/how-to/cdc.md",
    "docs/how-to/cron.md",
    "docs/how-to/dagster.md",
    "docs/how-to/prefect.md",
    "docs/how-to/databricks.md",
    "docs/how-to/kafka.md",
    "docs/how-to/mongo.md",
    "docs/how-to/postgres-types.md",
    "docs/how-to/postgres.md",
    "docs/how-to/spark-sources.md",
    "docs/how-to/spark.md",
}


def blocks(page: Path) -> list[tuple[str, str]]:
    """The marks and the code of a page's blocks."""
    return [(found["mark"].strip(), found["code"]) for found in BLOCK.finditer(page.read_text(encoding="utf-8"))]


def run(code: list[str], page: Path) -> None:
    namespace: dict[str, object] = {"__name__": page.stem}
    with contextlib.redirect_stdout(io.StringIO()):
        for part in code:
            exec(compile(part, str(page), "exec"), namespace)


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)], ids=lambda page: str(page.relative_to(ROOT)))
def test_the_code_of_a_page_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run([code for mark, code in blocks(page) if mark != "notest"], page)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_only_what_needs_a_server_is_not_run(page: Path) -> None:
    marks = {mark for mark, _ in blocks(page)}
    assert marks <= {"", "notest"}
    assert "notest" not in marks or str(page.relative_to(ROOT)) in NEED_A_SERVER


def test_the_pipeline_of_the_readme_runs(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(world.SCHEMA)
        connection.execute(world.HOURS[0].sql)
    ((_, code),) = blocks(ROOT / "README.md")
    assert "postgresql://reader@db/shop" in code
    monkeypatch.chdir(tmp_path)
    run([code.replace("postgresql://reader@db/shop", database)], ROOT / "README.md")
    assert lk.read(lk.connect("lake"), "gold.fact_orders").count() == 3


def test_every_public_function_has_an_example_that_runs() -> None:
    functions = [name for name in lk.__all__ if inspect.isfunction(getattr(lk, name))]
    assert [name for name in functions if ">>>" not in (getattr(lk, name).__doc__ or "")] == []


def test_every_public_name_stands_in_the_reference() -> None:
    text = "\n".join(page.read_text(encoding="utf-8") for page in (ROOT / "docs" / "reference").glob("*.md"))
    named = set(re.findall(r"[\w.]+", text))
    words = {word.rpartition(".")[2] for word in named} | named
    modules = {"checks", "errors", "evolution", "identity", "rules", "sources", "__version__"}
    assert [name for name in lk.__all__ if name not in words and name not in modules] == []
