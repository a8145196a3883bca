"""The room that knows HTTP and FastAPI: endpoints, guards, cookies, errors as answers. No rule of signing in lives
here."""
