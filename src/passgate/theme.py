"""The theme as data: a brand is a hue and a chroma, and every colour is derived from them. Templates are rendered here.

Not here: any page, mail or text.
"""

from __future__ import annotations

import math
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from passgate import i18n
from passgate.settings import ThemeSettings

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = Path(__file__).parent / "web" / "templates"


@lru_cache(16)
def environment(settings: ThemeSettings, language: str) -> Environment:
    """The templates of one language. An undefined variable raises an error instead of rendering as nothing."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape  # noqa: PLC0415  not at start

    folders = [TEMPLATES] if settings.templates is None else [settings.templates, TEMPLATES]
    made = Environment(
        loader=FileSystemLoader(folders),
        undefined=StrictUndefined,
        extensions=["jinja2.ext.i18n"],
        autoescape=select_autoescape(default=True, disabled_extensions=("txt",)),
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.policies["ext.i18n.trimmed"] = True
    catalog = i18n.catalog(language, settings.texts)
    made.install_gettext_translations(catalog, newstyle=True)  # type: ignore[attr-defined]
    made.globals["language"] = language
    return made


def compile_own(settings: ThemeSettings) -> None:
    """Compile a host's templates, each as the pages do. TemplateSyntaxError has file and line; OSError; ValueError."""
    made = environment(settings, i18n.LANGUAGES[0])
    for path in sorted(settings.templates.rglob("*")) if settings.templates else ():
        if path.suffix in (".html", ".txt") and path.is_file():
            made.get_template(path.relative_to(settings.templates or path).as_posix())


def sheet_head(settings: ThemeSettings) -> str:
    """The two numbers of a brand, as the last rule of the style sheet."""
    return f":root{{--hue:{settings.hue};--chroma:{settings.chroma:g}}}\n"


def mail_colours(settings: ThemeSettings) -> dict[str, str]:
    """The light colours as #rrggbb: mail programs support neither variables nor OKLCH."""
    return {
        "brand": hexed(0.49, settings.chroma, settings.hue),
        "on_brand": hexed(0.99, 0.005, settings.hue),
        "ground": hexed(0.975, 0.008, settings.hue),
        "card": "#ffffff",
        "ink": hexed(0.24, 0.02, settings.hue),
        "soft": hexed(0.47, 0.02, settings.hue),
        "line": hexed(0.89, 0.012, settings.hue),
    }


def hexed(lightness: float, chroma: float, hue: float) -> str:
    return "#" + "".join(f"{round(255 * _gamma(part)):02x}" for part in linear(lightness, chroma, hue))


def linear(lightness: float, chroma: float, hue: float) -> tuple[float, float, float]:
    """Linear sRGB of an OKLCH colour, clipped to the sRGB gamut (CSS Color 4 §10)."""
    a, b = chroma * math.cos(math.radians(hue)), chroma * math.sin(math.radians(hue))
    long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
    middle = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
    red = 4.0767416621 * long - 3.3077115913 * middle + 0.2309699292 * short
    green = -1.2684380046 * long + 2.6097574011 * middle - 0.3413193965 * short
    blue = -0.0041960863 * long - 0.7034186147 * middle + 1.7076147010 * short
    return _within(red), _within(green), _within(blue)


def _within(part: float) -> float:
    return min(max(part, 0.0), 1.0)


def _gamma(part: float) -> float:
    return 12.92 * part if part <= 0.0031308 else 1.055 * part ** (1 / 2.4) - 0.055
