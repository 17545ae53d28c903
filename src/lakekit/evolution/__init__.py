"""How schemas change: what differs (`diff`), what is done about it (`plan`), by hand (`apply`), and how a table came to be (`history`)."""

from lakekit.evolution.detect import apply, drift, plan
from lakekit.evolution.differences import CHANGING, Change, Difference, diff
from lakekit.evolution.policy import Policy
from lakekit.evolution.propagation import propagate
from lakekit.evolution.schema_plan import SchemaPlan, Step, grown, make
from lakekit.evolution.versions import Version, history

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
    "propagate",
]
