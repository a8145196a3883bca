"""The hosted pages. They call the same actions of `core` as the API. Not here: rules about signing in."""
