"""A text as a QR code: SVG for a page, PNG for a program. Not here: the meaning of the text."""

from __future__ import annotations

import io

import segno


def svg(text: str) -> str:
    """An SVG element, dark on light in every colour scheme, because cameras need that."""
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
