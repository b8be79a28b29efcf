"""Templates of the build: `@NAMES@` are filled in."""

from __future__ import annotations

import re
from importlib.resources import files

from ..errors import TargetError

_PLACEHOLDER = re.compile(r"@([A-Z_]+)@")
_INCLUDE = re.compile(r"^@include (\S+)@\n", re.MULTILINE)


def render(name: str, **values: object) -> str:
    """A template with its `@NAMES@` filled in; a line `@include NAME@` is another template.

    Raises:
        TargetError: a name of the template has no value.
    """
    text = files("qfx_plugin.build").joinpath(f"templates/{name}").read_text("utf-8")
    text = _INCLUDE.sub(lambda match: render(match[1], **values), text)
    missing = set(_PLACEHOLDER.findall(text)) - values.keys()
    if missing:
        raise TargetError(f"template {name}: no value for {', '.join(sorted(missing))}")
    return _PLACEHOLDER.sub(lambda match: str(values[match[1]]), text)
