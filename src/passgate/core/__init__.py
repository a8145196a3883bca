"""The rules: plain async functions, `ctx` first. No word of HTTP lives here."""
