"""What a person can prove, one module for each factor; here the list of those that every Passgate has.

What a factor is lives in `factor`, how proofs add up in `policy`; a host's own are given to `Passgate(factors=[…])`.
"""

from passgate.core.factor import Factors
from passgate.core.factors import email_code, passkey, password, recovery_code, totp

FACTORS = Factors((password.FACTOR, passkey.FACTOR, totp.FACTOR, recovery_code.FACTOR, email_code.FACTOR))
"""In the order in which they are listed."""
