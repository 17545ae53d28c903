"""How schemas change: what differs (`diff`), what is done about it (`plan`), by hand (`apply`), further down (`propagate`), and how it came (`history`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lakekit import lazy

if TYPE_CHECKING:
    from lakekit.evolution.detect import apply, plan
    from lakekit.evolution.differences import Change, Difference, diff
    from lakekit.evolution.policy import Policy
    from lakekit.evolution.propagation import propagate
    from lakekit.evolution.report import Drift, drift
    from lakekit.evolution.rescue import unrescue
    from lakekit.evolution.schema_plan import SchemaPlan, Step
    from lakekit.evolution.versions import Version, history

# Loaded when asked for: writers use some of these modules, and some of these modules write.
_HOMES = {
    "Change": "differences",
    "Difference": "differences",
    "Drift": "report",
    "Policy": "policy",
    "SchemaPlan": "schema_plan",
    "Step": "schema_plan",
    "Version": "versions",
    "apply": "detect",
    "diff": "differences",
    "drift": "report",
    "history": "versions",
    "plan": "detect",
    "propagate": "propagation",
    "unrescue": "rescue",
}

__all__ = [
    "Change",
    "Difference",
    "Drift",
    "Policy",
    "SchemaPlan",
    "Step",
    "Version",
    "apply",
    "diff",
    "drift",
    "history",
    "plan",
    "propagate",
    "unrescue",
]


__getattr__ = lazy.loader(__name__, _HOMES)


def __dir__() -> list[str]:
    return __all__
