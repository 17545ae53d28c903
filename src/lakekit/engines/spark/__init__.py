"""The Spark engine: the user's own session, classic, Connect or Databricks. Nothing else in lakekit names pyspark."""
