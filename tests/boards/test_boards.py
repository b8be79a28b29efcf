"""Boards: those there are, one more by one file, and every rule by its message."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from qfx_plugin.boards import Board, OpenBoard, ZynqBoard, list_boards, load_board, zynq
from qfx_plugin.boards.board import OPEN
from qfx_plugin.boards.load import OWN_FOLDER
from qfx_plugin.errors import DataError, OptionError

OWN = (OWN_FOLDER / "pynq_z2.toml").read_text(encoding="utf-8")


BOARDS = [
    "ultra96-v2", "pynq-z2", "arty-z7-20", "aup-zu3", "ecp5-evn", "kv260", "pynq-z1",
    "tang-nano-20k", "ulx3s-85f", "zcu102", "zcu104",
]  # fmt: skip


def write(folder: Path, change: tuple[str, str] = ("", ""), name: str = "mine.toml") -> Path:
    path = folder / name
    assert change[0] in OWN
    path.write_text(OWN.replace(*change) if change[0] else OWN, encoding="utf-8")
    return path


def test_ultra96_v2():
    board = load_board("ultra96-v2")
    assert board.part == "xczu3eg-sbva484-1-i"
    assert board.board_part == "avnet.com:ultra96v2:part0:1.2"
    assert board.resources.counts() == {
        "lut": 70560, "ff": 141120, "carry": 8820, "dsp": 360, "bram36": 216,
    }  # fmt: skip
    assert (board.resources.carry_cell, board.resources.dsp_cell) == ("CARRY8", "DSP48E2")
    assert [port.name for port in board.memory_ports] == [f"S_AXI_HP{i}_FPD" for i in range(4)]
    assert board.control.base_address == 0xA0000000


def test_pynq_z2():
    board = load_board("pynq-z2")
    assert (board.part, board.family) == ("xc7z020clg400-1", "zynq-7000")
    assert board.memory_ports[0].widths == (32, 64)
    assert board.control.width_parameter is None


def test_the_list_begins_with_the_ultra96():
    assert [board.name for board in list_boards()] == BOARDS


@pytest.mark.parametrize("name", ["ultra96v2", "Ultra96-V2", "ULTRA96-V2", "ultra96_v2"])
def test_aliases(name):
    assert load_board(name).name == "ultra96-v2"


def test_an_unknown_board_names_the_known_ones():
    with pytest.raises(OptionError) as error:
        load_board("ultra96-v1")
    assert str(error.value) == (
        f"board must be one of {', '.join(BOARDS)}, or the path of a .toml file, not 'ultra96-v1' "
        "(did you mean ultra96-v2?)"
    )


def test_a_board_is_one_file(tmp_path, monkeypatch):
    path = write(tmp_path, ('name = "pynq-z2"', 'name = "mine"'))
    board = load_board(path)
    assert board.name == "mine"
    monkeypatch.setenv("QFX_BOARDS", str(tmp_path))
    assert load_board("mine") == board
    assert [one.name for one in list_boards()] == [*BOARDS, "mine"]


def test_two_boards_of_one_name(tmp_path, monkeypatch):
    path = write(tmp_path)
    monkeypatch.setenv("QFX_BOARDS", str(tmp_path))
    with pytest.raises(OptionError, match="name must differ from other boards', not 'pynq-z2'"):
        list_boards()
    assert load_board(path).name == "pynq-z2"


def test_a_folder_that_is_none(tmp_path, monkeypatch):
    monkeypatch.setenv("QFX_BOARDS", str(tmp_path / "none"))
    with pytest.raises(OptionError) as error:
        list_boards()
    assert str(error.value) == f"QFX_BOARDS must name folders, not '{tmp_path / 'none'}'"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("lut = 53200", "lut = 'many'", "resources: lut must be an integer, not 'many'"),
        ("lut = 53200", "lut = 0", "resources: lut must be at least 1, not 0"),
        ("lut = 53200\n", "", "resources: lut is missing"),
        ("dsp = 220", "dsp = true", "resources: dsp must be an integer, not True"),
        ("lut = 53200", "luts = 53200",
         "resources: field must be one of lut, ff, carry, carry_cell, dsp, dsp_cell, bram36, uram, "
         "lut_inputs, not 'luts' (did you mean lut?)"),
        ("schema = 1", "schema = 2", "schema must be one of 1, not 2"),
        ('"zynq-7000"', '"spartan"', "family must be one of zynq-ultrascale+, zynq-7000, "
         "ecp5, gowin, not 'spartan'"),
        ('name = "pynq-z2"', 'name = "PYNQ Z2"',
         "name must be lower case, digits, hyphens, not 'PYNQ Z2'"),
        ('"tul.com.tw:pynq-z2:part0:1.0"', '"pynq-z2"',
         "board_part must be vendor:name:part:version, not 'pynq-z2'"),
        ('"xc7z020clg400-1"', '"10cl025"',
         "part must be an AMD part such as xc7z020clg400-1, not '10cl025'"),
        ("default_mhz = 100.0", "default_mhz = 1000.0",
         "clock.default_mhz must be 10 to 250, not 1000"),
        ("widths = [32]", "widths = [24]",
         "control.widths must be among 32, 64, 128, not 24"),
        ("widths = [32]", "widths = 32", "control: widths must be a list, not 32"),
        ("widths = [32]", "widths = [32, 64]",
         "control.width_parameter is missing: the port has 2 widths"),
        ("widths = [32]", "widths = []",
         "control: widths must be a list of at least one entry, not []"),
        ("base_address = 0x40000000", "base_address = 'low'",
         "control: base_address must be an integer, not 'low'"),
    ],
)  # fmt: skip
def test_rules(old, new, message, tmp_path):
    with pytest.raises(OptionError) as error:
        load_board(write(tmp_path, (old, new)))
    assert str(error.value) == f"mine.toml: {message}"


def test_parts_and_aliases_as_vendors_write_them(tmp_path):
    path = write(tmp_path, ("xc7z020clg400-1", "xck26-sfvc784-2LV-c"))
    text = re.sub(r"^aliases = .*$", "aliases = []", path.read_text(), flags=re.MULTILINE)
    path.write_text(text)
    assert load_board(path).part == "xck26-sfvc784-2LV-c" and load_board(path).aliases == ()


def test_ports_have_names_of_their_own(tmp_path):
    path = write(tmp_path, ('name = "pynq-z2"', 'name = "mine"'))
    ports = load_board(path).memory_ports
    assert len({port.name for port in ports}) == len(ports) > 1
    path.write_text(path.read_text().replace(f'"{ports[1].name}"', f'"{ports[0].name}"'))
    with pytest.raises(OptionError) as error:
        load_board(path)
    assert str(error.value) == (
        f"mine.toml: memory_ports[1].name must differ from other ports', not {ports[0].name!r}"
    )
    path.write_text(path.read_text().replace(f'"{ports[0].name}"', '"M_AXI_GP0"'))
    with pytest.raises(OptionError, match=r"memory_ports\[0\].name must differ from other ports'"):
        load_board(path)


def test_a_name_comes_before_an_alias(tmp_path, monkeypatch):
    path = write(tmp_path, ('name = "pynq-z2"', 'name = "mine"'))
    text = re.sub(r"^aliases = .*$", 'aliases = ["ultra96-v2"]', path.read_text(), flags=re.M)
    path.write_text(text)
    monkeypatch.setattr("qfx_plugin.boards.load._files", lambda: [path, *OWN_FOLDER.glob("*.toml")])
    assert load_board("Ultra96-V2").name == "ultra96-v2"


def test_damaged_and_missing_files(tmp_path):
    path = tmp_path / "mine.toml"
    with pytest.raises(DataError, match="cannot be read: No such file"):
        load_board(path)
    path.write_text("schema = ")
    with pytest.raises(DataError, match="mine.toml: is not valid TOML"):
        load_board(path)


def test_every_own_file_says_where_its_facts_come_from():
    for path in OWN_FOLDER.glob("*.toml"):
        assert re.search(r"^# Sources: ", path.read_text(encoding="utf-8"), re.MULTILINE)


@pytest.mark.parametrize("board", list_boards(), ids=lambda board: board.name)
def test_a_part_is_of_its_family(board):
    start = {"zynq-ultrascale+": "xc[zk]", "zynq-7000": "xc7z", "ecp5": "LFE5U", "gowin": "GW"}
    assert re.match(start[board.family], board.part)
    assert isinstance(board, OpenBoard if board.family in OPEN else ZynqBoard)
    for alias in board.aliases:
        assert load_board(alias) == board


OPEN_FILE = (OWN_FOLDER / "ulx3s_85f.toml").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('speed = "6"\n', "", "speed is missing"),
        ('receive = "M1"\n', "", "pins: receive is missing"),
        ("[pins]", "[pin]", "field must be one of schema, name, title, family, part, resources, "
         "clock, aliases, notes, device, package, speed, pins, loader, not 'pin' (did you mean "
         "pins?)"),
        ("led_active_low = false", "led_active_low = 0",
         "pins: led_active_low must be true or false, not 0"),
        ("lut_inputs = 4", "lut_inputs = 5", "resources: lut_inputs must be one of 4, 6, not 5"),
        ('family = "ecp5"', 'family = "zynq-7000"', "field must be one of schema, name, title, "
         "family, part, resources, clock, aliases, notes, board_part, ps, control, memory_ports, "
         "not 'device'"),
    ],
)  # fmt: skip
def test_rules_of_boards_without_a_processor(old, new, message, tmp_path):
    assert old in OPEN_FILE
    path = tmp_path / "mine.toml"
    path.write_text(OPEN_FILE.replace(old, new))
    with pytest.raises(OptionError) as error:
        load_board(path)
    assert str(error.value) == f"mine.toml: {message}"


def test_where_a_processor_is_needed():
    assert zynq(load_board("kv260")).name == "kv260"
    with pytest.raises(OptionError) as error:
        zynq(load_board("ulx3s"))
    assert str(error.value) == (
        "board ulx3s-85f must have a processor here (zynq-ultrascale+ or zynq-7000), which ecp5 "
        "has not; target rtl builds for it"
    )


def test_clock_range():
    clock = load_board("ultra96-v2").clock
    assert clock.check(200.0, "clock_mhz") == 200.0
    with pytest.raises(OptionError) as error:
        clock.check(1000.0, "clock_mhz")
    assert str(error.value) == "clock_mhz must be 10 to 300 MHz, not 1000"


def test_boards_are_values():
    board = load_board("pynq-z2")
    assert isinstance(board, Board)
    assert replace(board) == board
