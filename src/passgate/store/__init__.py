"""Where rows live: the tables, the two engines and the unit of work. Rules about what rows mean never live here."""

from passgate.store.unit import Db, Store

__all__ = ["Db", "Store"]
