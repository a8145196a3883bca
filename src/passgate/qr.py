"""A text as a QR code: SVG for a page, PNG for a program. Not here: the meaning of the text."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import segno


def _made(text: str) -> segno.QRCode:
    import segno  # noqa: PLC0415  few processes draw one

    return segno.make(text, error="m", micro=False)


def svg(text: str) -> str:
    """An SVG element, dark on light in every colour scheme, because cameras need that."""
    picture = io.BytesIO()
    _made(text).save(
        picture,
        kind="svg",
        border=4,
        dark="#000",
        light="#fff",
        xmldecl=False,
        nl=False,
        omitsize=True,
        svgclass="qr",
        lineclass=None,
    )
    return picture.getvalue().decode()


def png(text: str) -> bytes:
    picture = io.BytesIO()
    _made(text).save(picture, kind="png", scale=6, border=4)
    return picture.getvalue()
