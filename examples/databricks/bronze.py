# Databricks notebook source
# MAGIC %md
# MAGIC # The shop: bronze
# MAGIC What each source says, each row version once. The functions are those of `examples/shop/pipeline.py`, which also run without Spark.
# MAGIC
# MAGIC Run it as often as you like, from a job or by hand: what was read before is not read again, and a run that broke off is taken up.

# COMMAND ----------

# MAGIC %pip install "lakekit[postgres,mongo,kafka]"

# COMMAND ----------

# MAGIC %sql USE CATALOG main

# COMMAND ----------

from datetime import UTC, datetime

import lakekit as lk
from examples.shop import pipeline
from lakekit import sources

lake = lk.connect(spark)  # the session of the notebook, its current catalog

# COMMAND ----------

# MAGIC %md
# MAGIC Secrets are functions: lakekit calls them when it connects, and shows them nowhere.

# COMMAND ----------

shop = sources.Postgres(lambda: dbutils.secrets.get("shop", "postgres"), name="shop")
market = sources.Mongo(lambda: dbutils.secrets.get("shop", "mongo"), database="lakekit_shop", name="market")
web = sources.Kafka(dbutils.secrets.get("shop", "kafka"), name="web")
systems = pipeline.Systems(
    shop, market.collection("orders", cursor="order_time", schema=pipeline.DOCUMENTS), web.topic(pipeline.TOPIC, schema=pipeline.EVENTS)
)

# COMMAND ----------

for commit in pipeline.bronze(lake, systems, datetime.now(UTC)):
    print(commit)

# COMMAND ----------

print(lk.status(lake))
