"""HTTP without a rule of ours: bodies, cookies, cross-site requests, forwarding fields, problem documents. Not here:
settings, and whatever a request means."""
