"""Options as frozen dataclasses, checked by every door: TOML, JSON, YAML, and Python itself.

    @options
    class Options:
        samples: int = setting(1000, "How many random inputs are compared.", minimum=1)

    read(Options, load("options.yaml"), "options.yaml")
    Options(samples=3)

Field types understood: `int`, `float`, `str`, `bool`, `T | None`, `tuple[T, ...]`,
`dict[str, str | int | float]`, and other such dataclasses.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import json
import os
import reprlib
import tomllib
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, dataclass_transform

from .errors import DataError, OptionError, one_line
from .files import write_file

T = TypeVar("T")
P = ParamSpec("P")
R = TypeVar("R")

_SHORT = reprlib.Repr()
_SHORT.maxlevel, _SHORT.maxstring, _SHORT.maxother = 3, 200, 200

_KINDS = {int: "an integer", float: "a number", str: "a text", bool: "true or false"}


def setting(
    default: Any = dataclasses.MISSING,
    about: str = "",
    *,
    choices: Sequence[Any] = (),
    minimum: float | None = None,
    maximum: float | None = None,
    above: float | None = None,
) -> Any:
    """A field with its explanation and its rules.

    Args:
        default: its value if nothing is given; without, the field must be given.
        about: a paragraph for people.
        choices: the only values allowed.
        minimum: the least value allowed.
        maximum: the largest value allowed.
        above: values must be larger than this.
    """
    rules = {"about": about, "choices": tuple(choices), "minimum": minimum, "maximum": maximum}
    return dataclasses.field(default=default, metadata=rules | {"above": above})


@dataclass_transform(frozen_default=True)
def options(cls: type[T]) -> type[T]:
    """A frozen dataclass whose names and values are checked also where Python makes one.

    Raises:
        OptionError: by the class, for an unknown name, or a value that breaks its field's rule.
    """
    made: Any = dataclasses.dataclass(frozen=True)(cls)
    plain = made.__init__

    @functools.wraps(plain)
    def checked(self: Any, *values: Any, **named: Any) -> None:
        fields = {field.name: field for field in dataclasses.fields(made)}
        hints = typing.get_type_hints(made)
        given = dict(zip(fields, values, strict=False)) | named
        for name, value in given.items():
            check_name(made, name, "option")
            given[name] = _checked(hints[name], fields[name], value, name)
        plain(self, **given)

    made.__init__ = checked
    return cls


def checked_keywords(function: Callable[P, R]) -> Callable[P, R]:
    """A function whose misspelt keyword is an `OptionError` that names the nearest one."""
    known = list(inspect.signature(function).parameters)

    @functools.wraps(function)
    def checked(*values: P.args, **named: P.kwargs) -> R:
        for name in named:
            if name not in known:
                raise OptionError(f"{function.__name__}: {unknown(name, known, 'option')}")
        return function(*values, **named)

    return checked


def load(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a table from a `.toml`, `.json`, `.yaml` or `.yml` file.

    Raises:
        DataError: the file is not there, has another ending, is broken, or holds no table.
    """
    path = Path(path)
    if path.suffix not in (".toml", ".json", ".yaml", ".yml"):
        raise DataError(f"{path}: must be a .toml, .json, .yaml or .yml file")
    try:
        table = _parse(path.read_text(encoding="utf-8-sig"), path.suffix)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {one_line(error)}") from error
    except RecursionError as error:
        raise DataError(
            f"{path}: is not valid {path.suffix[1:].upper()}: it is nested too deeply"
        ) from error
    except ValueError as error:
        reason = one_line(error, whole=True)
        raise DataError(f"{path}: is not valid {path.suffix[1:].upper()}: {reason}") from error
    if not isinstance(table, dict):
        raise DataError(f"{path}: must hold a table of names and values, not {shown(table)}")
    return table


def save(table: Mapping[str, Any], path: str | os.PathLike[str]) -> Path:
    """Write a table as JSON or YAML, by the file's ending; returns the path.

    Raises:
        DataError: the file has another ending, or cannot be written.
    """
    path = Path(path)
    if path.suffix == ".json":
        text = json.dumps(table, indent=2) + "\n"
    elif path.suffix in (".yaml", ".yml"):
        import yaml

        text = yaml.safe_dump(dict(table), sort_keys=False, allow_unicode=True)
    else:
        raise DataError(f"{path}: must be a .json, .yaml or .yml file")
    return write_file(path, text)


def read(cls: type[T], table: Mapping[str, Any], where: str) -> T:
    """Make a `cls` from a table, every value checked.

    Args:
        cls: a frozen dataclass.
        table: its fields by name; nested dataclasses are nested tables.
        where: file or option that the table comes from; begins every message.

    Raises:
        OptionError: an unknown or missing field, or a value that breaks the field's rule.
    """
    fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    hints = typing.get_type_hints(cls)
    for name in table:
        if name not in fields:
            raise OptionError(f"{where}: {unknown(str(name), list(fields))}")
    values = {}
    for name, field in fields.items():
        if name in table:
            values[name] = _checked(hints[name], field, table[name], f"{where}: {name}")
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise OptionError(f"{where}: {name} is missing")
    return cls(**values)


def is_field(cls: type, name: str) -> bool:
    """Whether a dataclass of options has an option of this name."""
    return name in {field.name for field in dataclasses.fields(cls)}


def check_name(cls: type, name: str, what: str = "field", *others: type | str) -> None:
    """Refuse a name that is no field of `cls`.

    Args:
        cls: a dataclass of options.
        name: to look for.
        what: the fields are called in the message.
        others: names, or dataclasses whose fields will do as well.

    Raises:
        OptionError: there is no such field.
    """
    fields: list[str] = []
    for one in (cls, *others):
        fields += [one] if isinstance(one, str) else [f.name for f in dataclasses.fields(one)]
    if name not in fields:
        raise OptionError(unknown(name, fields, what))


def from_text(cls: type, name: str, text: str) -> Any:
    """The value of field `name` of `cls` as typed on a command line.

    Raises:
        OptionError: there is no such field, or the text is no value of its type.
    """
    fields = {field.name: field for field in dataclasses.fields(cls)}
    if name not in fields:
        raise OptionError(unknown(name, list(fields)))
    kind = _plain(typing.get_type_hints(cls)[name])
    value: Any = text
    if kind in (int, float, bool):
        try:
            value = json.loads(text)
        except ValueError:
            raise OptionError(f"{name} must be {_KINDS[kind]}, not {text!r}") from None
    return value


def as_table(instance: Any) -> dict[str, Any]:
    """The opposite of `read`: plain values, tuples as lists."""
    table: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(instance)))
    return table


def shown(value: Any) -> str:
    """A value of a stranger's file in a message; what is long or nested, in part."""
    return _SHORT.repr(value)


def _parse(text: str, suffix: str) -> Any:
    if suffix == ".toml":
        return tomllib.loads(text)
    if suffix == ".json":
        return json.loads(text)
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error


def unknown(name: str, known: Sequence[str], what: str = "field") -> str:
    """The message about a name that does not exist, with the nearest that does."""
    listed = ", ".join(known) or "none"
    return f"{what} must be one of {listed}, not {name!r}{nearest(name, known)}"


def nearest(name: str, known: Sequence[str]) -> str:
    """` (did you mean verify?)`, or nothing where no known name is near."""
    close = get_close_matches(name, known, n=1)
    return f" (did you mean {close[0]}?)" if close else ""


def _plain(kind: Any) -> Any:
    """`T` of `T | None`."""
    if isinstance(kind, types.UnionType):
        return next(part for part in typing.get_args(kind) if part is not types.NoneType)
    return kind


def _checked(kind: Any, field: dataclasses.Field[Any], value: Any, where: str) -> Any:
    if isinstance(kind, types.UnionType):
        parts = [typing.get_origin(part) or part for part in typing.get_args(kind)]
        if any(isinstance(value, part) for part in parts if part is not parts[0]):
            return value
    value = _typed(_plain(kind), value, where)
    if value == () and field.default is dataclasses.MISSING:
        raise OptionError(f"{where} must be a list of at least one entry, not []")
    choices = field.metadata.get("choices") or ()
    if choices and value not in choices:
        raise OptionError(
            f"{where} must be one of {', '.join(map(str, choices))}, not {shown(value)}"
        )
    low, high = field.metadata.get("minimum"), field.metadata.get("maximum")
    for number in value if isinstance(value, tuple) else (value,):
        if low is not None and not number >= low:
            raise OptionError(f"{where} must be at least {low}, not {shown(number)}")
        bound = field.metadata.get("above")
        if bound is not None and not number > bound:
            raise OptionError(f"{where} must be above {bound}, not {shown(number)}")
        if high is not None and not number <= high:
            raise OptionError(f"{where} must be at most {high}, not {shown(number)}")
    return value


def _typed(kind: Any, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(kind):
        if isinstance(value, kind):  # type: ignore[arg-type]
            return value
        if not isinstance(value, Mapping):
            raise OptionError(f"{where} must be a table, not {shown(value)}")
        return read(kind, value, where)  # type: ignore[arg-type]
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise OptionError(f"{where} must be a list, not {shown(value)}")
        return tuple(
            _typed(arguments[0], entry, f"{where}[{index}]") for index, entry in enumerate(value)
        )
    if origin is dict:
        if not isinstance(value, Mapping):
            raise OptionError(f"{where} must be a table, not {shown(value)}")
        return {str(key): _scalar(entry, f"{where}.{key}") for key, entry in value.items()}
    fits = isinstance(value, (int, float) if kind is float else kind)
    if not fits or (isinstance(value, bool) and kind is not bool):
        raise OptionError(f"{where} must be {_KINDS[kind]}, not {shown(value)}")
    return float(value) if kind is float else value


def _scalar(value: Any, where: str) -> Any:
    if not isinstance(value, str | int | float):
        raise OptionError(f"{where} must be a text or a number, not {shown(value)}")
    return value
