"""The devices of a person in browser tests: virtual authenticators as phones and security keys (the WebAuthn domain of
DevTools), and an authenticator app that scans QR codes from the screen.

Not here: what devices may do, which Chromium decides; and pages, except those that set up a device.
"""

from __future__ import annotations

import base64
import io
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import zxingcpp
from PIL import Image
from playwright.async_api import CDPSession, Locator, Page

from passgate.core.factors import totp
from tests.browser.person import Person


@dataclass
class Device:
    """One virtual authenticator."""

    cdp: CDPSession
    id: str

    async def credentials(self) -> list[dict[str, Any]]:
        found = await self.cdp.send("WebAuthn.getCredentials", {"authenticatorId": self.id})
        return list(found["credentials"])

    async def verify(self, *, does: bool) -> None:
        """Set whether the device verifies its user."""
        await self.cdp.send("WebAuthn.setUserVerified", {"authenticatorId": self.id, "isUserVerified": does})

    async def present(self, *, is_there: bool) -> None:
        """Set whether the device finds its user present."""
        given = {"authenticatorId": self.id, "enabled": is_there}
        await self.cdp.send("WebAuthn.setAutomaticPresenceSimulation", given)

    async def claim(self, **properties: bool) -> None:
        """Set what its one credential reports from now on: backupEligibility, backupState."""
        [one] = await self.credentials()
        given = {"authenticatorId": self.id, "credentialId": one["credentialId"], **properties}
        await self.cdp.send("WebAuthn.setCredentialProperties", given)

    async def copied(self, count: int) -> None:
        """Replace its one credential by a copy, whose counter has another value."""
        [one] = await self.credentials()
        await self.cdp.send(
            "WebAuthn.removeCredential", {"authenticatorId": self.id, "credentialId": one["credentialId"]}
        )
        saved = {**one, "signCount": count}
        await self.cdp.send("WebAuthn.addCredential", {"authenticatorId": self.id, "credential": saved})

    async def leave(self) -> None:
        await self.cdp.send("WebAuthn.removeVirtualAuthenticator", {"authenticatorId": self.id})


@dataclass
class Pocket:
    """Adds virtual devices to one page. A device whose user is present answers a request of autofill at once."""

    page: Page
    _cdp: list[CDPSession] = field(default_factory=list)

    async def device(self, *, synced: bool = True, transport: str = "internal", is_there: bool = True) -> Device:
        if not self._cdp:
            self._cdp.append(await self.page.context.new_cdp_session(self.page))
            await self._cdp[0].send("WebAuthn.enable")
        options = {
            "protocol": "ctap2",
            "ctap2Version": "ctap2_1",
            "transport": transport,
            "hasResidentKey": True,
            "hasUserVerification": True,
            "isUserVerified": True,
            "automaticPresenceSimulation": is_there,
            "defaultBackupEligibility": synced,
            "defaultBackupState": synced,
        }
        made = await self._cdp[0].send("WebAuthn.addVirtualAuthenticator", {"options": options})
        return Device(self._cdp[0], made["authenticatorId"])


@dataclass
class App:
    """An authenticator app. Each code works once; `code(1)` is the code of the next time step, which is accepted
    already."""

    uri: str

    @classmethod
    async def scan(cls, picture: Locator) -> App:
        """Read the QR code from a screenshot, as a camera would. Only QR codes are searched for, because some of its
        dots can look like a code of another kind."""
        screen = Image.open(io.BytesIO(await picture.screenshot()))
        [found] = zxingcpp.read_barcodes(screen, formats=zxingcpp.BarcodeFormats(zxingcpp.BarcodeFormat.QRCode))
        return cls(found.text)

    def code(self, later: int = 0) -> str:
        [secret] = parse_qs(urlsplit(self.uri).query)["secret"]
        return totp.code_at(base64.b32decode(secret), int(time.time()) // totp.PERIOD + later)


async def with_app(anna: Person) -> App:
    """Set up an authenticator app on the account page by scanning its QR code."""
    await anna.open("/account/factors")
    assert await anna.press('a[href="/account/totp"]') == "account-totp"
    assert await anna.send("/account/totp/offer") == "account-totp"
    app = await App.scan(anna.page.locator("[role=img]"))
    assert anna.email in app.uri.replace("%40", "@")
    assert await anna.send("/account/totp", code="000000") == "account-totp:proof_refused"
    assert (await App.scan(anna.page.locator("[role=img]"))).uri == app.uri, "the same picture"
    assert await anna.send("/account/totp", code=app.code()) == "account-recovery-codes"
    return app


async def codes(anna: Person) -> list[str]:
    await anna.open("/account/recovery-codes")
    assert await anna.send("/account/recovery-codes") == "account-recovery-codes"
    return await anna.page.locator(".codes code").all_inner_texts()
