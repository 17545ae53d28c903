"""How a lake stands, and what happened in it: `status` in a line for each table, `report` as a page."""
