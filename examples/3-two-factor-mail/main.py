"""The program as a server runs it, with its settings from the environment and `.env`: `main:app`.

Not here: the program itself (program.py).
"""

import shapes
from program import program
from variables import Variables

from passgate import Passgate

variables = Variables.load()
app = program(Passgate(variables.settings(), profile=shapes.Profile), variables)
