# Databricks notebook source
# MAGIC %md
# MAGIC # The shop: gold
# MAGIC The star: the history of every person, and one row for each order with the key of the person as they were when they ordered.

# COMMAND ----------

# MAGIC %pip install lakekit

# COMMAND ----------

# MAGIC %sql USE CATALOG main

# COMMAND ----------

import lakekit as lk
from examples.shop import pipeline

lake = lk.connect(spark)

# COMMAND ----------

print(pipeline.dim_users(lake))
print(pipeline.fact_orders(lake))

# COMMAND ----------

# MAGIC %md
# MAGIC The tables are Iceberg's: any tool reads them, and so does the session itself.

# COMMAND ----------

spark.sql(
    """
    SELECT u.full_name, u.city, count(*) AS orders, sum(f.amount) AS amount
    FROM gold.fact_orders f JOIN gold.dim_users u ON f.user_key = u.user_key
    WHERE f._deleted_at IS NULL
    GROUP BY ALL ORDER BY ALL
    """
).show()
