"""Every page there is, for whoever puts the house together. Nothing else lives here."""

from passgate.web.pages import account, address, files, recover, signin, signup

PAGES = tuple(module.router for module in (signin, signup, recover, account, address, files))
