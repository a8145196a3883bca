"""The program as a server runs it, with its variables from the environment and `.env`: `main:app`.

Not here: the program itself (program.py).
"""

import audit
import lock
import shapes
from program import program
from variables import Variables

from passgate import Passgate

variables = Variables.load()
in_use = lock.hold()  # before anything opens app.db
gate = Passgate(variables.settings(), profile=shapes.Profile, claims=shapes.claims, events=audit.EVENTS)
audit.to_file(gate)
app = program(gate, variables)
