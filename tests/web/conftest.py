"""Fixtures of the catalogue for the tests of this folder. Fixtures of a single test module stay in that module."""

from tests.catalogue.settled import lite_population, population, settled

__all__ = ["lite_population", "population", "settled"]
