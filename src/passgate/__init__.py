"""Passgate signs your users in. The public names a host program may import live here, and nothing else does."""

__version__ = "0.1.0"
