"""Examples: whole pipelines, run by the tests."""
