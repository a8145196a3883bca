"""Delete app.db and app.log of this folder: `python3 reset_db.py`. It refuses while a server runs.

Not here: the keys in .passgate/, which a new database goes on with.
"""

import sys

from lock import HERE, hold


def main() -> int:
    try:
        with hold(alone=True):
            for name in ("app.db", "app.db-wal", "app.db-shm", "app.log"):
                HERE.joinpath(name).unlink(missing_ok=True)
    except BlockingIOError:
        print("A server uses app.db. Stop it first.", file=sys.stderr)
        return 1
    print("app.db and app.log are deleted.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
