"""The fixtures of the catalogue that tests of this folder ask for. Those of one test module stay in it."""

from tests.catalogue.settled import lite_population, population, settled

__all__ = ["lite_population", "population", "settled"]
