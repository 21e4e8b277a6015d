"""Templates into pages: the reader's language and colours, numbers as that language writes them, all foreign text harmless."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fastapi import Request, Response
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup

from grpo.language.catalogue import LANGUAGES, Catalogue, choose_language, read_catalogue
from grpo.report.charts import Drawing
from rewards.screen.amounts import format_seconds, format_size
from rewards.screen.harmless_text import make_label, make_visible

THEMES = ("light", "dark")
LANGUAGE_COOKIE, THEME_COOKIE = "language", "theme"
SHOWN_CHARACTERS = 6000

_FOLDER = Path(__file__).parent


class Renderer:
    """Renders the templates of the page."""

    def __init__(self) -> None:
        self._environment = Environment(
            loader=FileSystemLoader(_FOLDER / "templates"),
            autoescape=True,
            finalize=_finalize,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._environment.filters.update(
            seconds=_say_seconds, bytes=_say_bytes, label=make_label, visible=_show_text, stamp=_stamp
        )
        # A new version of the style or the script has a new address.
        content = b"".join(path.read_bytes() for path in sorted((_FOLDER / "static").iterdir()) if path.is_file())
        self._version = hashlib.sha256(content).hexdigest()[:12]

    def render(self, request: Request, template: str, status: int = 200, **view: Any) -> Response:
        """A page; 304 where the browser has it already."""
        language = find_language(request)
        catalogue = read_catalogue(language)
        theme = request.cookies.get(THEME_COOKIE)
        numbers = _Numbers(catalogue)
        text = self._environment.get_template(template).render(
            _=catalogue.say,
            tr=catalogue.translate,
            number=numbers.number,
            short=numbers.short,
            signed=numbers.signed,
            interval=numbers.interval,
            count=numbers.count,
            chart=numbers.chart,
            language=language,
            languages=LANGUAGES,
            theme=theme if theme in THEMES else "",
            version=self._version,
            path=request.url.path,
            query=request.url.query,
            role=request.scope.get("state", {}).get("role"),
            **view,
        )
        body = text.encode("utf-8", "replace")
        tag = f'W/"{hashlib.sha256(body).hexdigest()[:20]}"'
        headers = {"etag": tag, "cache-control": "no-cache", "vary": "Cookie, Accept-Language"}
        if status == 200 and request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return HTMLResponse(body, status, headers)


def find_language(request: Request) -> str:
    """The reader's choice, else what the browser prefers."""
    chosen = request.cookies.get(LANGUAGE_COOKIE)
    return chosen if chosen in LANGUAGES else choose_language(request.headers.get("accept-language", ""))


class _Numbers:
    """Numbers as a language writes them; a dash where there is none."""

    def __init__(self, catalogue: Catalogue):
        self._write, self._say, self._translate = catalogue.number, catalogue.say, catalogue.translate

    def number(self, value: Any, digits: int = 3) -> str:
        return self._write(f"{value:.{digits}f}").replace("-", "−") if _is_number(value) else "–"

    def signed(self, value: Any, digits: int = 3) -> str:
        return self._write(f"{value:+.{digits}f}").replace("-", "−") if _is_number(value) else "–"

    def short(self, value: Any) -> str:
        """Three digits that count."""
        return self._write(f"{value:.3g}").replace("-", "−") if _is_number(value) else "–"

    def count(self, value: Any) -> str:
        return self._write(f"{value:,.0f}") if _is_number(value) else "–"

    def interval(self, thing: Any) -> str:
        low, high = (thing.get("low"), thing.get("high")) if isinstance(thing, Mapping) else (thing.low, thing.high)
        return self._say("{low} to {high}", low=self.number(low), high=self.number(high)) if _is_number(low) else ""

    def chart(self, drawing: Drawing) -> Markup:
        """A chart without a style of its own, which the page's policy would refuse."""
        y = Markup("").join(
            Markup('<text x="100%" y="{}%">{}</text>').format(round(place, 2), self._write(said))
            for place, said in drawing.y_ticks
        )
        x = Markup("").join(
            Markup('<text x="{}%" y="13">{}</text>').format(place, said) for place, said in drawing.x_ticks
        )
        names = Markup("").join(
            Markup('<text class="{}" x="{}" y="{}%" dy="{}">{}</text>').format(
                side, "4" if side == "left" else "100%", place, "13" if below else "-4", self._translate(name)
            )
            for side, below, place, name in drawing.names
        )
        return Markup(
            '<div class="plot" role="img" aria-label="{}"><svg class="y" aria-hidden="true">{}</svg><div class="area">'
            '<svg viewBox="0 0 100 100" preserveAspectRatio="none" aria-hidden="true">{}</svg>'
            '<svg class="names" aria-hidden="true">{}</svg></div><svg class="x" aria-hidden="true">{}</svg></div>'
        ).format(drawing.said, y, Markup(drawing.shapes), names, x)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _finalize(value: Any) -> Any:
    """Every text that a template prints: names and versions are as foreign as completions."""
    return make_visible(value, 100_000) if type(value) is str else "" if value is None else value


def _say_seconds(value: Any) -> str:
    return format_seconds(value) if _is_number(value) else "–"


def _say_bytes(value: Any) -> str:
    return format_size(value, 1) if _is_number(value) else "–"


def _show_text(value: Any, limit: int = SHOWN_CHARACTERS) -> str:
    return make_visible(value if isinstance(value, str) else "" if value is None else str(value), limit)


def _stamp(value: Any) -> str:
    import time

    return time.strftime("%Y-%m-%d %H:%M", time.localtime(value)) if _is_number(value) else "–"
