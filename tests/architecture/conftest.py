"""The catalogue's fixtures that several tests of this folder use.

Fixtures of a single test module stay in that module.
"""

from tests.catalogue.settled import lite_population, population, settled

__all__ = ["lite_population", "population", "settled"]
