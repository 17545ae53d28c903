"""What lakekit costs: seconds, rows per second and memory. See README.md in this folder."""
