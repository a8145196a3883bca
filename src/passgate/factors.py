"""What a host program makes a factor of its own from, for `Passgate(factors=[…])`. Names only; the guide shows one.

The values and verbs themselves live in `core.factor`, `core.authenticator` and `core.credentials`.
"""

from passgate.core.authenticator import find, is_usable
from passgate.core.credentials import replace, secret_of, use
from passgate.core.factor import Compared, Enrolling, Factor, Order, SetUp, Texts, Trait, typed, wrong

__all__ = [
    "Compared",
    "Enrolling",
    "Factor",
    "Order",
    "SetUp",
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
