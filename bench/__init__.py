"""Benchmarks of Passgate, measured next to bare servers in the same run. They are no tests: no figure fails
anything."""
