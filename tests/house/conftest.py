"""The fixtures of the catalogue that tests of this folder ask for. Those of one test module stay in it."""

from tests.catalogue.settled import lite_town, settled, town

__all__ = ["lite_town", "settled", "town"]
