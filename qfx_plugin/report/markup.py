"""HTML and SVG as escaped text: everything is escaped unless it is `Markup` already."""

from __future__ import annotations

import html
from collections.abc import Iterable

_VOID = {"meta", "br", "line", "rect", "circle"}


class Markup(str):
    """Text that is HTML already and must not be escaped again."""

    __slots__ = ()


Child = str | int | float | None | Iterable["Child"]


def tag(name: str, /, *children: Child, **attributes: str | int | float | None) -> Markup:
    """One element.

    Args:
        name: of the element: "td", "svg", ...
        children: text (escaped), `Markup` (kept), or iterables of both; `None` is left out.
        attributes: `class_="wide"` is written `class="wide"`, `stroke_width` is `stroke-width`,
            `None` is left out.
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _VOID and not children:
        return Markup(f"<{name}{written}>" if name in ("meta", "br") else f"<{name}{written}/>")
    return Markup(f"<{name}{written}>{''.join(_flat(children))}</{name}>")


def _flat(children: Child) -> Iterable[str]:
    if children is None:
        return
    if isinstance(children, Markup):
        yield children
    elif isinstance(children, str | int | float):
        yield html.escape(str(children), quote=False)
    else:
        for child in children:
            yield from _flat(child)
