"""The names from which a host program builds its own factor, for `Passgate(factors=[…])`. The guide has an example.

Not here: the values and functions, which are in `core.factor`, `core.authenticator` and `core.credentials`.
"""

from passgate.core.authenticator import find, is_usable
from passgate.core.budgets import Guess, Target
from passgate.core.credentials import replace, secret_of, use
from passgate.core.factor import Compared, Enrolling, Factor, Order, SetUp, Texts, Trait, typed, wrong

__all__ = [
    "Compared",
    "Enrolling",
    "Factor",
    "Guess",
    "Order",
    "SetUp",
    "Target",
    "Texts",
    "Trait",
    "find",
    "is_usable",
    "replace",
    "secret_of",
    "typed",
    "use",
    "wrong",
]
