"""Passgate's rules: plain async functions that take `ctx` first. Not here: anything about HTTP."""
