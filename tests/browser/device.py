"""What people have at hand in a story: a phone, a security key (virtual ones, the WebAuthn domain of DevTools), an
authenticator app that reads pictures.

What devices may do is Chromium's; of pages only those are known that set one up.
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
        """Whether its person unlocks it."""
        await self.cdp.send("WebAuthn.setUserVerified", {"authenticatorId": self.id, "isUserVerified": does})

    async def present(self, *, is_there: bool) -> None:
        """Whether its person is there to touch it."""
        given = {"authenticatorId": self.id, "enabled": is_there}
        await self.cdp.send("WebAuthn.setAutomaticPresenceSimulation", given)

    async def claim(self, **properties: bool) -> None:
        """backupEligibility, backupState: what its one credential says of itself from now on."""
        [one] = await self.credentials()
        given = {"authenticatorId": self.id, "credentialId": one["credentialId"], **properties}
        await self.cdp.send("WebAuthn.setCredentialProperties", given)

    async def copied(self, count: int) -> None:
        """Its one credential, as a copy would have it: with a counter that stands elsewhere."""
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
    """The devices of one page. One that autofill may ask answers as soon as it is there."""

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
    """An authenticator app. A code is good once: `code(1)` is the next one's, which counts already."""

    uri: str

    @classmethod
    async def scan(cls, picture: Locator) -> App:
        """As a camera does it: from what is on the screen. Some dots of it can look like a code of another kind."""
        screen = Image.open(io.BytesIO(await picture.screenshot()))
        [found] = zxingcpp.read_barcodes(screen, formats=zxingcpp.BarcodeFormats(zxingcpp.BarcodeFormat.QRCode))
        return cls(found.text)

    def code(self, later: int = 0) -> str:
        [secret] = parse_qs(urlsplit(self.uri).query)["secret"]
        return totp.code_at(base64.b32decode(secret), int(time.time()) // totp.PERIOD + later)


async def with_app(anna: Person) -> App:
    """Set one up in the account, as a person does it: with a camera."""
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
