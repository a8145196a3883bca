"""The built-in factors, one module each, and the list of them. A host passes its own to `Passgate(factors=[…])`.

Not here: what a factor is (`factor`) and how proofs add up (`policy`).
"""

from passgate.core.factor import Factors
from passgate.core.factors import email_code, passkey, password, recovery_code, totp

FACTORS = Factors((password.FACTOR, passkey.FACTOR, totp.FACTOR, recovery_code.FACTOR, email_code.FACTOR))
"""In listing order."""
