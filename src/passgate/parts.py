"""The long-lived parts, put together from the settings: all that a command needs, and what an application stands on.

Not here: endpoints (`app`). Nothing that is imported here may import a web framework: commands start without it.
"""

from __future__ import annotations

from passgate import startup
from passgate.adapters.breach import Breach
from passgate.core.ctx import Services
from passgate.core.factors import FACTORS
from passgate.core.site import Site, Sites
from passgate.errors import UnsafeSettings
from passgate.hashing import Hasher
from passgate.seal import Ring, key_file_reasons
from passgate.settings import KEY_FILE, Settings
from passgate.store import SCHEMA, Store
from passgate.world import World


def build_services(settings: Settings, world: World) -> Services:
    """The long-lived parts. Creates the data folder with mode 0700. Raises UnsafeSettings for a folder that can't be
    used, and a key file that nothing should be sealed under."""
    if reasons := [*startup.data_reasons(settings)]:
        raise UnsafeSettings(reasons)
    settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    roots = settings.root_secrets()
    if not roots and (reasons := key_file_reasons(settings.data / KEY_FILE)):
        raise UnsafeSettings(reasons)
    ring = (
        Ring([root.encode() for root in roots], world)
        if roots
        else Ring.from_file(settings.data / KEY_FILE, world, make=settings.is_development)
    )
    if settings.is_sqlite:
        # SQLite would make a file that others can read, and its WAL takes the mode of the file.
        settings.database_file.touch(mode=0o600)
    store, hasher = Store(settings.database, SCHEMA), Hasher(settings.hash, world)
    return Services(settings, world, store, ring, hasher, Breach(settings.breach), FACTORS, Sites(Site(settings.url)))
