"""`passgate.asgi:app`, for any ASGI server. It is made when it is first asked for; nothing else lives here."""

from passgate.app import create_app

app = create_app()
