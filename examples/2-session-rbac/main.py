"""The program as a server runs it, with its settings from the environment and `.env`: `main:app`.

Not here: the program itself (program.py).
"""

import old_names
from program import program
from roles import PERMISSIONS

from passgate import Passgate, Settings

old_names.check()
app = program(Passgate(Settings.load(cookie_prefix="session_rbac_"), permissions=PERMISSIONS))
