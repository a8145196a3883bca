"""The HTTP layer, built on FastAPI: endpoints, guards, cookies, rendering of errors. Not here: any rule about signing
in."""
