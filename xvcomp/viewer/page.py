"""The viewer's page as text: one file that needs no network and lets nothing else run."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from html import escape
from importlib import resources
from typing import Any

from ..previews.colours import DIVERGING
from ..report import strict
from ..version import __version__

__all__ = ["page_html"]

_SCRIPTS = ("fields.js", "plot.js", "page.js")


def page_html(
    data: Mapping[str, Any], texts: Sequence[Sequence[str]], facts: Mapping[str, str]
) -> str:
    """Build the page.

    Parameters
    ----------
    data : Mapping
        What the script needs to know; names in it may be hostile.
    texts : sequence of sequence of str
        Base64 of each field's values and, where there is a reference, its errors and the
        original's values that were lost.
    facts : Mapping[str, str]
        Shown below the title.

    Returns
    -------
    str
        HTML. Its policy allows no connection and no script but the one whose hash it names.
    """
    title = str(data["title"])
    script, style = _script(), _resource("page.css")
    json = strict.dumps({**data, "diverging": [list(c) for c in DIVERGING]})
    listed = "".join(f"<span>{escape(k)} <b>{escape(v)}</b></span>" for k, v in facts.items())
    stores = "".join(
        f'<script type="text/plain" id="field-{k}-{kind}">{text}</script>'
        for k, each in enumerate(texts)
        for kind, text in zip(("values", "errors", "lost"), each, strict=False)
    )
    policy = (
        f"default-src 'none'; script-src 'sha256-{_digest(script)}'; "
        f"style-src 'sha256-{_digest(style)}'; base-uri 'none'; form-action 'none'"
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{style}</style></head><body><main>"
        f'<header><h1>{escape(title)}</h1><div class="facts">{listed}'
        f"<span>xvcomp <b>{escape(__version__)}</b></span></div></header>"
        f"{_notes(data['notes'])}{_resource('body.html')}</main>"
        # "<" could end the script element early.
        f'<script type="application/json" id="data">{json.replace("<", chr(92) + "u003c")}'
        f"</script>{stores}<script>{script}</script></body></html>\n"
    )


def _script() -> str:
    """Join the parts of the script, which see each other and nothing else sees them."""
    parts = "".join(_resource(name) for name in _SCRIPTS)
    return f'"use strict";\n(function () {{\n{parts}}})();\n'


def _resource(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")


def _notes(notes: Sequence[str]) -> str:
    if not notes:
        return ""
    text = "; ".join(notes)
    return f'<p class="note" role="note">To keep this page small, {escape(text)}.</p>'
