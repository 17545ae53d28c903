"""Silver: what the rows mean. Batches cleaned, shaped and written by key."""
