"""`passgate.asgi:app`, for any ASGI server. The application is created when first used. Not here: anything else."""

from passgate.app import create_app

app = create_app()
