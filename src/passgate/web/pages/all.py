"""Every page there is, for whoever puts the house together. Nothing else lives here."""

from passgate.web.pages import account, address, factors, files, link, passkey, prove, recover, signin, signup

PAGES = tuple(
    module.router for module in (signin, prove, passkey, link, signup, recover, account, factors, address, files)
)
