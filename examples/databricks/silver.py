# Databricks notebook source
# MAGIC %md
# MAGIC # The shop: silver
# MAGIC Clean people and orders of each source, who is who among the people, and one record for each person.

# COMMAND ----------

# MAGIC %pip install lakekit

# COMMAND ----------

# MAGIC %sql USE CATALOG main

# COMMAND ----------

from datetime import UTC, datetime

import lakekit as lk
from examples.shop import pipeline
from lakekit import identity

lake = lk.connect(spark)
now = datetime.now(UTC)

# COMMAND ----------

# MAGIC %md
# MAGIC Each function reads what its table has not consumed, and merges it. What can't be cleaned stands in `silver.users__rejects`.

# COMMAND ----------

print(pipeline.silver_users(lake))
print(pipeline.silver_market_buyers(lake))
print(pipeline.silver_visitors(lake))

# COMMAND ----------

# MAGIC %md
# MAGIC One `master_user_id` for each person across the three sources.

# COMMAND ----------

print(pipeline.identities(lake, now))
print(pipeline.users_unified(lake, now))
print(identity.explain(lake, "silver.identities", a=("postgres", 2), b=("kafka", "v-2")))

# COMMAND ----------

print(pipeline.silver_orders(lake))
print(pipeline.silver_market_orders(lake))
print(pipeline.orders_unified(lake))

# COMMAND ----------

lk.read(lake, "silver.orders_unified").show()
