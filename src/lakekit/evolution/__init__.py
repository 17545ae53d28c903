"""How schemas change: what differs (`diff`), what is done about it (`plan`), by hand (`apply`), and how a table came to be (`history`)."""

from lakekit.evolution.detect import apply, drift, plan
from lakekit.evolution.diff import CHANGING, Change, Difference, diff
from lakekit.evolution.history import Version, history
from lakekit.evolution.plan import SchemaPlan, Step, grown, make
from lakekit.evolution.policy import Policy

__all__ = [
    "CHANGING",
    "Change",
    "Difference",
    "Policy",
    "SchemaPlan",
    "Step",
    "Version",
    "apply",
    "diff",
    "drift",
    "grown",
    "history",
    "make",
    "plan",
]
