"""Templates of the build, shared ones and each target's: `@NAMES@` are filled in."""

from __future__ import annotations

import re
from importlib.resources import files
from importlib.resources.abc import Traversable

from ..errors import TargetError

_PLACEHOLDER = re.compile(r"@([A-Z_]+)@")
_INCLUDE = re.compile(r"^@include (\S+)@\n", re.MULTILINE)


def template(name: str) -> Traversable:
    """A template: `TARGET/FILE` of a target, or `FOLDER/FILE` of those that targets share."""
    owner, _, file = name.partition("/")
    build = files("qfx_plugin.build")
    own = build / "targets" / owner / "templates"
    return own / file if own.is_dir() else build / "templates" / name


def render(name: str, **values: object) -> str:
    """A template with its `@NAMES@` filled in; a line `@include NAME@` is another template.

    Raises:
        TargetError: a name of the template has no value.
    """
    text = template(name).read_text("utf-8")
    text = _INCLUDE.sub(lambda match: render(match[1], **values), text)
    missing = set(_PLACEHOLDER.findall(text)) - values.keys()
    if missing:
        raise TargetError(f"template {name}: no value for {', '.join(sorted(missing))}")
    return _PLACEHOLDER.sub(lambda match: str(values[match[1]]), text)
