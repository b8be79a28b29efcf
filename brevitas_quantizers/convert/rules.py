"""Which options each quantizer gets: defaults, then rules that later ones override."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, TypeAlias

from brevitas_quantizers.fixed_point import OptionError
from brevitas_quantizers.injectors import QFXFixedPoint, QFXLog, QuantizerOptions
from brevitas_quantizers.injectors.options import check_names

Options: TypeAlias = Mapping[str, Any]
Key: TypeAlias = str | type

ROLES = ("weight", "bias", "act", "input")
NORM_BITS = 2
"""Bits that factors of a batch norm have more than other weights; offsets have twice as many.

One rounding error of a factor meets every value of its channel. Products with 10 bits still fit a
multiplier of 18 x 27 bits, and offsets are no finer than products."""
_NORM_LIMIT = 16
_FALLBACK = {"input": "act"}  # an input quantizer is an activation quantizer with more options
_WEIGHT_ONLY = frozenset({"k", "digits", "max_digits"})
_LOG = frozenset({"bit_width", "signed"})
_SUMS_ONLY = frozenset({"block_size"})
_PARAMETER_ONLY = frozenset({"bit_width_per_output_channel"})
_ACT_ONLY = frozenset({"per_channel_broadcastable_shape"})
_WILDCARDS = frozenset("*?[")
_NAMES_SHOWN = 5


@dataclass(frozen=True)
class Site:
    """One place of the network that rules can address.

    Attributes:
        names: qualified name of the layer; that of its own quantizer behind it too.
        types: types by which rules can select it, the most telling first.
        roles: kinds of its quantizers, of `ROLES`.
        is_first: whether no layer with weights comes before it, and it has some.
        is_last: whether no layer with weights comes behind it, and it has some.
        takes_no_negative: of a table, whether what it is given cannot be negative.
        of_norm: those of `roles` that hold the constants of a batch norm.
    """

    names: tuple[str, ...]
    types: tuple[type, ...]
    roles: tuple[str, ...]
    is_first: bool = False
    is_last: bool = False
    takes_no_negative: bool = False
    of_norm: tuple[str, ...] = ()


@dataclass
class Rules:
    """Options by place.

    Attributes:
        defaults: for every quantizer.
        first_layer: for the first layers with weights.
        last_layer: for the last layers with weights.
        overrides: by qualified name, glob pattern or type; later ones win.
    """

    defaults: Options
    first_layer: Options
    last_layer: Options
    overrides: Mapping[Key, Options]

    def check(self, sites: list[Site]) -> None:
        """Refuse unknown options, overrides that match none of `sites`, and options without use.

        Raises:
            OptionError: names the option or key, and what is near it.
        """
        _check_options("quantize", self.defaults)
        first, last = ([s for s in sites if s.is_first], [s for s in sites if s.is_last])
        for who, options, matched in (
            ("first_layer", self.first_layer, first),
            ("last_layer", self.last_layer, last),
        ):
            _check_options(who, options)
            _check_use(who, options, matched)
        for key, options in self.overrides.items():
            who, matches = f"overrides[{_show(key)}]", _matcher(key)
            _check_options(who, options)
            matched = [site for site in sites if matches(site)]
            if not matched:
                raise OptionError(f"{who} matches nothing{_near(key, sites)}")
            _check_use(who, options, matched)

    def options(self, site: Site, role: str) -> tuple[type, dict[str, Any]]:
        """Injector and options, without prefix, of one quantizer.

        Args:
            site: the place.
            role: `"weight"`, `"bias"`, `"act"` or `"input"`.
        """
        found: dict[str, Any] = {}
        for options in self._layers(site):
            # `input_` in the call means the network's inputs; what a table is given is inside it.
            inside = role == "input" and "act" in site.roles and options is self.defaults
            new = _of_role(options, "act" if inside else role)
            if "quant" in new:  # another quantizer: options that it has not end with it
                log = issubclass(new["quant"], QFXLog)
                found = {
                    name: value
                    for name, value in found.items()
                    if (name in _LOG if log else name not in _WEIGHT_ONLY)
                }
            found.update(new)
            if options is self.defaults and role in site.of_norm:
                found.update(_norm_width(options, role))
        return found.pop("quant", QFXFixedPoint), found

    def _layers(self, site: Site) -> list[Options]:
        layers = [self.defaults]
        if site.is_first:
            layers.append(self.first_layer)
        if site.is_last:
            layers.append(self.last_layer)
        layers += [options for key, options in self.overrides.items() if _matcher(key)(site)]
        return layers


def _norm_width(options: Options, role: str) -> dict[str, int]:
    """The width of a batch norm's constants, unless it is given or learned."""
    bits, own = options.get("bit_width"), {f"{role}_bit_width", f"{role}_learn_bit_width"}
    if not isinstance(bits, int) or options.get("learn_bit_width") or own & set(options):
        return {}
    wider = bits + NORM_BITS if role == "weight" else 2 * bits
    return {"bit_width": max(bits, min(wider, _NORM_LIMIT))}


def _of_role(options: Options, role: str) -> dict[str, Any]:
    """Options of one dictionary that concern `role`; the more specific ones win."""
    skipped = _ACT_ONLY if role in ("weight", "bias") else _PARAMETER_ONLY
    skipped |= frozenset() if role == "weight" else _WEIGHT_ONLY | _SUMS_ONLY
    found = {}
    for name, value in options.items():
        prefix, base = _split(name)
        if prefix is None and base not in skipped:
            found[base] = value
    for wanted in (_FALLBACK.get(role), role):
        for name, value in options.items():
            prefix, base = _split(name)
            if prefix is not None and prefix == wanted:
                found[base] = value
    return found


def _split(name: str) -> tuple[str | None, str]:
    """`weight_bit_width` as `("weight", "bit_width")`, `bit_width` as `(None, "bit_width")`."""
    prefix, _, base = name.partition("_")
    return (prefix, base) if prefix in ROLES and base else (None, name)


def _check_options(who: str, options: Options) -> None:
    if not isinstance(options, Mapping):
        raise OptionError(f"{who} must be a dictionary of options, not {options!r}")
    for name, value in options.items():
        base = _split(name)[1]
        check_names(who, [base], [*QuantizerOptions.names(), "quant"])
        if base == "quant" and not (isinstance(value, type) and issubclass(value, QFXFixedPoint)):
            raise OptionError(
                f"{who}: {name} must be QFXFixedPoint, QFXKHot, QFXDigits or a subclass, not "
                f"{value!r}"
            )


def _check_use(who: str, options: Options, sites: list[Site]) -> None:
    """An option for quantizers that the matched places do not have would do nothing."""
    roles = {role for site in sites for role in site.roles}
    for name in options:
        prefix = _split(name)[0]
        wanted = {prefix, *(role for role, other in _FALLBACK.items() if other == prefix)}
        if not roles or (prefix is not None and not wanted & roles):
            there = ", ".join(sorted(roles)) or "nothing"
            raise OptionError(f"{who}: option {name!r} has no use; quantized there: {there}")


def _matcher(key: Key) -> Callable[[Site], bool]:
    if isinstance(key, type):
        return lambda site: any(issubclass(kind, key) for kind in site.types)
    if not isinstance(key, str):
        raise OptionError(f"overrides: a key must be a name, a pattern or a type, not {key!r}")
    if _WILDCARDS & set(key):
        return lambda site: any(fnmatchcase(name, key) for name in site.names)
    return lambda site: key in site.names


def _show(key: Key) -> str:
    return key.__name__ if isinstance(key, type) else repr(key)


def _near(key: Key, sites: list[Site]) -> str:
    if isinstance(key, type):
        names = sorted({site.types[0].__name__ for site in sites})
        return f"; the network has {', '.join(names)}"
    names = list(dict.fromkeys(name for site in sites for name in site.names))
    inside = [name for name in names if name.startswith(f"{key}.")]
    if inside:
        return f"; it is no layer, but {key + '.*'!r} matches what is inside it"
    near = difflib.get_close_matches(key, names, n=_NAMES_SHOWN, cutoff=0.4) or names[:_NAMES_SHOWN]
    return f"; near: {', '.join(near)}"
