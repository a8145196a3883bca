"""Passgate signs your users in. This module holds the public names that a host program may import, and nothing else.

They are imported when first used, so that importing one part does not import all.
"""

import importlib as _importlib
import typing as _typing

if _typing.TYPE_CHECKING:
    from passgate import errors
    from passgate.app import Passgate
    from passgate.core.host_jobs import JobRun
    from passgate.core.observers import Happened
    from passgate.operations import Carried
    from passgate.settings import Settings
    from passgate.web.host_values import User

__version__ = "0.2.0"
__all__ = ["Carried", "Happened", "JobRun", "Passgate", "Settings", "User", "__version__", "errors"]

_WHERE = {
    "Carried": "passgate.operations",
    "Happened": "passgate.core.observers",
    "JobRun": "passgate.core.host_jobs",
    "Passgate": "passgate.app",
    "Settings": "passgate.settings",
    "User": "passgate.web.host_values",
}


def __getattr__(name: str) -> object:
    if name == "errors":
        return _importlib.import_module("passgate.errors")
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(_importlib.import_module(_WHERE[name]), name)
