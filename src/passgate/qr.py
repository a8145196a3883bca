"""A text as a QR code, for a camera: SVG for a page, PNG for a program. What the text means is never known here."""

from __future__ import annotations

import io

import segno


def svg(text: str) -> str:
    """An SVG element, dark on light whatever the page's colours: cameras want it so."""
    picture = io.BytesIO()
    segno.make(text, error="m", micro=False).save(
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
    segno.make(text, error="m", micro=False).save(picture, kind="png", scale=6, border=4)
    return picture.getvalue()
