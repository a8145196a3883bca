"""Persistence: the tables, the two engines and the unit of work. Not here: rules about what rows mean."""

from passgate.store.schema import SCHEMA, Schema
from passgate.store.unit import Db, Store

__all__ = ["SCHEMA", "Db", "Schema", "Store"]
