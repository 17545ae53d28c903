"""How schemas change: what differs (`diff`), what is done about it (`plan`)."""

from lakekit.evolution.diff import CHANGING, Change, Difference, diff
from lakekit.evolution.plan import SchemaPlan, Step, grown, make
from lakekit.evolution.policy import Policy

__all__ = ["CHANGING", "Change", "Difference", "Policy", "SchemaPlan", "Step", "diff", "grown", "make"]
