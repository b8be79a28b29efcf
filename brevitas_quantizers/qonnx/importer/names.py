"""Names from a file as module paths; Python is generated from them, so little gets through."""

from __future__ import annotations

import keyword
import re

from torch import fx, nn

_FORBIDDEN = re.compile(r"[^0-9A-Za-z_]")
_MAX_PART, _MAX_DEPTH = 80, 16
_TAKEN = frozenset(dir(nn.Module())) | frozenset(dir(fx.GraphModule)) | {"root", "self"}


def module_path(name: str) -> str:
    """`name` with dots kept, and all else that is no letter, digit or underscore replaced.

    A part that would hide an attribute of `nn.Module`, or that is a keyword of Python, gets an
    underscore behind it.
    """
    parts = [_part(part) for part in name.strip("./").replace("/", ".").split(".") if part]
    if not parts:
        return "layer"
    return ".".join(parts[:_MAX_DEPTH])


def identifier(name: str) -> str:
    """`name` as one part of a path that is also a Python identifier."""
    part = _part(name.replace(".", "_"))
    return f"_{part}" if part[0].isdigit() else part


def _part(part: str) -> str:
    clean = _FORBIDDEN.sub("_", part)[:_MAX_PART]
    reserved = clean in _TAKEN or keyword.iskeyword(clean) or clean.startswith("__")
    return f"{clean.strip('_') or 'x'}_" if reserved else clean


def stem(name: str) -> str:
    """The layer of a tensor's or quantizer's name: `conv1` of `conv1.weight`."""
    return name.rpartition(".")[0]
