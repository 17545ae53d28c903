"""Slow and obvious versions of what lakekit does fast."""
