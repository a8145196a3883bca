"""Every reason not to start, by its code: what is wrong and what to do. `make reference` makes the page
docs/operate/it-does-not-start.md of it, and a test compares it with the codes that are raised.

Not here: finding a reason, and the text that is printed, which names what was found.
"""

from __future__ import annotations

Reason = tuple[str, str]
"""CODE and text, as `doctor` prints them."""

_START = {
    "SETTING_INVALID": "A variable has a value that can't be read. Its name is printed, and what its value must be. "
    "[Settings](../reference/settings.md) has the kinds.",
    "SETTING_UNKNOWN": "No setting has the name of this variable. The nearest one is printed, and "
    "[Settings](../reference/settings.md) lists all. Names of service links of a container platform are ignored.",
    "SETTINGS_FILE": "`.env` in the current folder, the folder of `PASSGATE_SECRETS_DIR`, or a file in it can't be "
    "read or isn't UTF-8; or a line of `.env` isn't `NAME=value`, with an even number of quotes.",
    "SECRETS_MISSING": "There are no root secrets, or `PASSGATE_SECRETS_FILE` can't be read. Make them as "
    "[Start](running.md#start) says.",
    "SECRETS_SHORT": "A root secret has less than 32 bytes. Make a new one.",
    "SECRETS_DEFAULT": "A root secret looks like a placeholder. Make it of random bytes.",
    "SECRETS_OPEN": "Every user of the machine can change `PASSGATE_SECRETS_FILE`. Outside a container give it mode "
    "600.",
    "PEPPER_SHORT": "A key in `PASSGATE_HASH__PEPPER` has less than 32 bytes.",
    "KEYS_UNREADABLE": "The key file `passgate.keys` is damaged, or belongs to another user. Give it to the user that "
    "runs Passgate, or restore it from your backup.",
    "KEYS_MISSING": "There are no root secrets and no key file, but the database was written with some. Set "
    "`PASSGATE_SECRETS` to what your program sets, or [restore the key file](../guide/backup.md#if-the-keys-are-gone).",
    "KEYS_SHORT": "The key file has a key of less than 32 bytes: restore it from your backup.",
    "KEYS_WEAK": "The key file has a key that isn't random: restore it from your backup.",
    "KEYS_OPEN": "Users other than its owner can open `passgate.keys`. Give it mode 600.",
    "DEVELOPMENT_BIND": "Development is for this machine only. Unset `PASSGATE_HOST`, or set "
    "`PASSGATE_ENVIRONMENT=production`.",
    "DEVELOPMENT_URL": "`PASSGATE_PUBLIC_URL` is not on localhost. For other names set "
    "`PASSGATE_ENVIRONMENT=production`.",
    "URL_NOT_HTTPS": "`PASSGATE_PUBLIC_URL` is not your public https origin.",
    "URL_LOCALHOST": "`PASSGATE_PUBLIC_URL` is localhost, where no visitor gets.",
    "URL_ADDRESS": "The host of `PASSGATE_PUBLIC_URL` is an address, or has `_` in it, so no passkey can be made "
    "there. Give it a name.",
    "MAIL_NOT_REAL": "Mail would reach nobody. Set `PASSGATE_MAIL__URL` to [a mail server](../guide/mail.md).",
    "MAIL_CLEAR": "`smtp://` would send the mail server's user and password unencrypted. Use `smtp+starttls://`.",
    "MAIL_UNREADABLE": "`PASSGATE_MAIL__URL` or `PASSGATE_MAIL__FROM` can't be read. Percent-encode what is special in "
    "the user and password (`/` is `%2F`); the sender is `Name <address>`.",
    "MAIL_OAUTH_INCOMPLETE": "Some of `PASSGATE_MAIL__OAUTH__…` are set and others are missing, which are printed: "
    "[mail with access tokens](mail.md).",
    "MAIL_OAUTH_URL": "`PASSGATE_MAIL__OAUTH__TOKEN_URL` isn't a plain https URL.",
    "MAIL_OAUTH_TENANT": "Only one of `PASSGATE_MAIL__OAUTH__TENANT` and `{tenant}` in `…__TOKEN_URL` is there.",
    "MAIL_OAUTH_CLEAR": "`smtp://` would send the access token unencrypted. Use `smtp+starttls://`.",
    "MAIL_OAUTH_PASSWORD": "`PASSGATE_MAIL__URL` has a user or a password, and `PASSGATE_MAIL__OAUTH__…` is set. "
    "Remove one.",
    "CORS_ANY": "`PASSGATE_CORS__ORIGINS` lists `*`. List your origins.",
    "CORS_INSECURE": "`PASSGATE_CORS__ORIGINS` lists `null` or an `http://` origin.",
    "PROXIES_ANY": "`PASSGATE_TRUSTED_PROXIES` covers every address there is, so every visitor could choose theirs. "
    "List your proxies.",
    "SESSION_LONG": "`PASSGATE_SESSION__ABSOLUTE` or `PASSGATE_SESSION__IDLE` is over 90 days.",
    "FRESH_LONG": "`PASSGATE_SIGNIN__FRESH` is over an hour.",
    "RECOVERY_WAIT": "`PASSGATE_RECOVERY__WAIT` is 0, which leaves owners no time to object.",
    "ERASE_WAIT": "`PASSGATE_ERASE__WAIT` is 0, which leaves owners no time to object.",
    "HASH_WEAK": "`PASSGATE_HASH__…` is below OWASP's minimum. Unset it.",
    "METRICS_OPEN": "There is no `PASSGATE_METRICS__TOKEN`, or it is shorter than 16 characters.",
    "PASSWORD_SHORT": "The stored policy of a tenant has `password_alone` below 15, or `password_beside` below 8. Set "
    "it while the installation runs in development.",
    "PASSWORD_UNCHECKED": "The stored policy of a tenant has `password_checks: length`, which only development may "
    "have. Set it to `full` while the installation runs in development.",
}
_MACHINE = {
    "ADDRESS_TAKEN": "Another program listens at `PASSGATE_PORT` or at the Unix socket. Stop it, or choose another "
    "one. `doctor` only notes it if that program is a Passgate.",
    "ADDRESS_UNKNOWN": "`PASSGATE_HOST` is no address of this machine. Behind a proxy on the same machine it is "
    "`127.0.0.1`, in a container `0.0.0.0`.",
    "ADDRESS_REFUSED": "The system doesn't let Passgate listen there. Ports below 1024 need a right: leave "
    "`PASSGATE_PORT` at 8000, and let the proxy have 443. The path of a Unix socket has at most 107 bytes, and its "
    "folder must exist.",
    "SOCKETS_INHERITED": "systemd, or what else sets `LISTEN_FDS`, handed over something that isn't a listening stream "
    "socket. See [systemd](systemd.md).",
    "DATA_NO_FOLDER": "`PASSGATE_DATA`, or a folder above it, is a file. Name a folder.",
    "DATA_REFUSED": "The data folder, or a file in it, can't be written. It belongs to another user, often root after "
    "`sudo passgate …`: `chown -R` it to the user that runs Passgate. Or the file system is read-only: mount a volume "
    "there.",
    "DISK_FULL": "The disk of the data folder, or of the database server, is full, or a quota is used up. A start "
    "needs 1 MB.",
    "FILE_REFUSED": "Another file or folder, which is printed, can't be used.",
    "CLOCK_WRONG": "The clock of the machine is years off, so codes and sessions would end at once or never. Set it, "
    "and have it kept (systemd-timesyncd, chrony).",
}
_DATABASE = {
    "DATABASE_URL": "`PASSGATE_DATABASE_URL` isn't `postgresql://…` or `sqlite:///…`, or has a parameter that can't "
    "work; what to set instead is printed. [PostgreSQL](../guide/postgresql.md) has all parameters.",
    "DATABASE_DRIVER": "The driver is missing: `pip install 'passgate[postgres]'`.",
    "DATABASE_DOWN": "The database doesn't answer. Check host, port and firewall, and that it runs.",
    "DATABASE_REFUSED": "The database server refuses the user or the password in `PASSGATE_DATABASE_URL`; or the file "
    "of SQLite can't be opened for writing, or its disk fails.",
    "DATABASE_MISSING": "The server has no database of that name. Create it: [PostgreSQL](../guide/postgresql.md).",
    "DATABASE_TLS": "The connection to the database can't be encrypted as the URL demands: the server has no TLS, or "
    "its certificate isn't valid for this name.",
    "DATABASE_ENCODING": "The database isn't in UTF8, so names could not be stored. Create a new one: [PostgreSQL]"
    "(../guide/postgresql.md).",
    "DATABASE_READ_ONLY": "The database takes no writes: it is a standby, or `default_transaction_read_only` is on "
    "there. Name the primary, or all hosts with `target_session_attrs=read-write`.",
    "DATABASE_RIGHTS": "The role of `PASSGATE_DATABASE_URL` may not do what it must: create tables for `migrate`, read "
    "and write them for `serve`. The GRANT is printed.",
    "DATABASE_POOLING": "The pooler in front of the database keeps no transaction together. Set `pool_mode = "
    "transaction` there.",
    "DATABASE_LOCKED": "Another program has locked the file of SQLite for ten seconds: an open `sqlite3`, a copy, a "
    "long migration. End it.",
    "DATABASE_DAMAGED": "The file isn't an SQLite database, or is damaged. Put it aside and "
    "[restore your backup](../guide/backup.md).",
    "DATABASE_BEHIND": "The schema is older than this program. Run `passgate migrate`.",
    "DATABASE_AHEAD": "The schema is newer than this program: an older version was started. Start the newer one, or "
    "restore the backup that you made before the upgrade.",
    "SQLITE_NODES": "SQLite serves one machine. Use [PostgreSQL](../guide/postgresql.md), or set `PASSGATE_NODES=1`.",
}
_FILES = {
    "LOOK_TEXTS": '`PASSGATE_LOOK__TEXTS` isn\'t a JSON file `{"de": {"our text": "your text"}}`, or a text has a '
    "placeholder that ours hasn't. See [texts and colours](../guide/appearance.md).",
    "LOOK_TEMPLATES": "`PASSGATE_LOOK__TEMPLATES` isn't a folder, or a template in it has an error. File and line are "
    "printed.",
    "BREACH_RANGES": "`PASSGATE_BREACH__RANGES` is missing, empty, not of lines `HASH:COUNT`, or not sorted by hash.",
    "APP_NAME": "`--app` isn't like `main:app`.",
    "APP_NOT_FOUND": "The current folder has no such module. Start in the folder of your program.",
    "APP_MISSING": "The module has no such name.",
    "APP_KIND": "What `--app` names isn't an ASGI application.",
    "APP_FAILED": "Your program raised an error while it was imported or started. Its file and line are printed; in "
    "development `serve` prints the traceback too.",
    "APP_LIFESPAN": "Your program has no lifespan, or did not complete it. Without one Passgate can't start inside it.",
}
_DOCTOR = {
    "KEYS_WRONG": "The database was written with other root keys than the present ones. Commands refuse it too, and a "
    "server that starts [begins anew](../guide/backup.md#if-the-keys-are-gone).",
    "SIGNING_KEY_UNREADABLE": "A key that signs tokens is encrypted under a root key that is missing: "
    "[what to do](../guide/backup.md#if-an-older-key-file-was-put-back).",
    "NOT_STARTED": "Requests get 503, because nobody has started the Passgate in your program: run your program's "
    "lifespan, or [start it yourself](../guide/library.md).",
    "ROOT_PATH": "Requests come below a path of which Passgate has not been told, and get 503. The log says what to "
    "give to [`gate.mount`](../guide/library.md).",
    "FAULT": "An error that nobody foresaw. The log has its place, without values: please report it.",
}
GROUPS = {
    "Settings": _START,
    "The machine": _MACHINE,
    "The database": _DATABASE,
    "Files and programs of yours": _FILES,
    "Passgate starts all the same": _DOCTOR,
}
REASONS: dict[str, str] = {code: text for group in GROUPS.values() for code, text in group.items()}
