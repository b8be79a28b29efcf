"""Configuration: dataclasses from TOML, JSON and YAML and back; every rule by its message."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from qfx_plugin.config import as_table, from_text, load, read, save, setting
from qfx_plugin.errors import DataError, OptionError


@dataclass(frozen=True)
class Inner:
    names: tuple[str, ...] = setting(("a",))


@dataclass(frozen=True)
class Outer:
    count: int = setting(1, "How many.", minimum=0, maximum=9)
    ratio: float = setting(0.5)
    label: str | None = setting(None)
    fast: bool = setting(False)
    extra: dict[str, str | int | float] = setting(None)
    inner: Inner = setting(Inner())


@pytest.mark.parametrize("name", ["o.json", "o.yaml", "o.yml"])
def test_round_trip(name, tmp_path):
    given = Outer(count=3, label="x", extra={"k": 1}, inner=Inner(("p", "q")))
    path = save(as_table(given), tmp_path / name)
    assert read(Outer, load(path), name) == given


def test_toml(tmp_path):
    path = tmp_path / "o.toml"
    path.write_text("count = 2\nratio = 1\n[inner]\nnames = ['z']\n")
    assert read(Outer, load(path), "o") == Outer(count=2, ratio=1.0, inner=Inner(("z",)))


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"count": "3"}, "o: count must be an integer, not '3'"),
        ({"count": True}, "o: count must be an integer, not True"),
        ({"count": -1}, "o: count must be at least 0, not -1"),
        ({"count": 10}, "o: count must be at most 9, not 10"),
        ({"ratio": "half"}, "o: ratio must be a number, not 'half'"),
        ({"ratio": True}, "o: ratio must be a number, not True"),
        ({"fast": 1}, "o: fast must be true or false, not 1"),
        ({"label": 3}, "o: label must be a text, not 3"),
        ({"extra": [1]}, "o: extra must be a table, not [1]"),
        ({"extra": {"k": [1]}}, "o: extra.k must be a text or a number, not [1]"),
        ({"inner": 3}, "o: inner must be a table, not 3"),
        ({"inner": {"names": ["a", 2]}}, "o: inner: names[1] must be a text, not 2"),
        ({"inner": {"names": "a"}}, "o: inner: names must be a list, not 'a'"),
        ({"cuont": 1}, "o: field must be one of count, ratio, label, fast, extra, inner, "
         "not 'cuont' (did you mean count?)"),
    ],
)  # fmt: skip
def test_rules(table, message):
    with pytest.raises(OptionError) as error:
        read(Outer, table, "o")
    assert str(error.value) == message


def test_values_from_a_command_line():
    assert from_text(Outer, "count", "7") == 7
    assert from_text(Outer, "fast", "true") is True
    assert from_text(Outer, "label", "7") == "7"
    with pytest.raises(OptionError) as error:
        from_text(Outer, "count", "many")
    assert str(error.value) == "count must be an integer, not 'many'"
    with pytest.raises(OptionError, match="did you mean ratio"):
        from_text(Outer, "rato", "1")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("o.ini", "", "must be a .toml, .json, .yaml or .yml file"),
        ("o.json", "{", "is not valid JSON"),
        ("o.yaml", "a: [", "is not valid YAML"),
        ("o.yaml", "- 1", "must hold a table of names and values, not [1]"),
        ("o.yaml", "!!python/object/apply:os.getcwd []", "is not valid YAML"),
    ],
)
def test_files_that_are_none(name, text, message, tmp_path):
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError) as error:
        load(tmp_path / name)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_file_that_is_missing(tmp_path):
    with pytest.raises(DataError, match="o.json: cannot be read: No such file"):
        load(tmp_path / "o.json")


def test_only_known_endings_are_written(tmp_path):
    with pytest.raises(DataError, match="must be a .json, .yaml or .yml file"):
        save({}, tmp_path / "o.toml")
