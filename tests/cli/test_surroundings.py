"""Hostile surroundings: full disks, folders that cannot be written, damaged and nested files."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from qfx_plugin.build import Manifest
from qfx_plugin.cli import main
from qfx_plugin.config import load, save
from qfx_plugin.driver import Description, DescriptionError
from qfx_plugin.errors import DataError
from qfx_plugin.files import write_file
from qfx_plugin.tools import compiler
from tests.qonnx_models import mlp

DEEP = 100_000


@pytest.fixture
def model(tmp_path) -> Path:
    path = tmp_path / "one.onnx"
    onnx.save(mlp((4, 3, 3), bit_width=4), path)
    return path


@pytest.fixture
def built(model, tmp_path, capsys) -> Path:
    command = ["build", str(model), "--target", "rtl", "--until", "import"]
    assert main([*command, "-o", str(tmp_path / "out")]) == 0
    capsys.readouterr()
    return tmp_path / "out"


def error_of(capsys, *arguments: object) -> str:
    """The one line of a command that ends with status 2."""
    assert main([str(argument) for argument in arguments]) == 2
    text = capsys.readouterr().err
    lines = [line for line in text.splitlines() if line.startswith("qfx: ")]
    assert len(lines) == 1 and text.endswith(f"{lines[0]}\n"), text
    return lines[0].removeprefix("qfx: ")


@pytest.mark.parametrize(
    ("name", "text"),
    [("o.json", "[" * DEEP), ("o.json", '{"a":' * DEEP), ("o.yaml", "[" * 2000),
     ("o.yaml", "- " * 2000 + "a"), ("o.toml", "a = " + "[" * 2000 + "]" * 2000)],
)  # fmt: skip
def test_nested_options(name, text, model, tmp_path, capsys):
    path = tmp_path / name
    path.write_text(text)
    for command in (["build", model, "-o", tmp_path / "b"], ["verify", model]):
        said = error_of(capsys, *command, "--config", path)
        assert said.startswith(f"{path}: is not valid {path.suffix[1:].upper()}: "), said


def test_values_that_grow_when_shown(tmp_path, capsys, model):
    """A few lines whose text would have more characters than a disk holds."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    path = tmp_path / "o.yaml"
    path.write_text("\n".join([*lines, "samples: *a11"]))
    said = error_of(capsys, "build", model, "-o", tmp_path / "b", "--config", path)
    assert len(said) < 500
    path.write_text("\n".join([*lines, "target: rtl", "samples: *a11"]).replace("a0:", "verify:"))
    assert len(error_of(capsys, "verify", model, "--config", path)) < 500


def test_options_with_a_byte_order_mark(tmp_path):
    (tmp_path / "o.toml").write_bytes(b'\xef\xbb\xbftarget = "rtl"\n')
    assert load(tmp_path / "o.toml") == {"target": "rtl"}


@pytest.mark.parametrize("text", ["[" * DEEP, '{"version": 1, "steps": ' + "[" * DEEP, "\xff"])
def test_nested_manifests_and_reports(text, built, capsys, model):
    (built / "manifest.json").write_text(text, encoding="latin-1")
    assert error_of(capsys, "report", built).startswith(
        f"{built}/manifest.json: cannot be read: no JSON: "
    )
    (built / "logs" / "written.json").write_text(text, encoding="latin-1")
    command = ["build", str(model), "--target", "rtl", "--until", "import", "-o", str(built)]
    assert main(command) == 0  # a fresh start
    (built / "manifest.json").unlink()
    (built / "report.json").write_text(text, encoding="latin-1")
    assert "report" in error_of(capsys, "report", built)
    with pytest.raises(DescriptionError, match=r"report\.json: cannot be read: "):
        Description.load(built / "report.json")


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (["steps", "import", "seconds"], "a minute"),
        (["steps", "import", "seconds"], -1),
        (["steps", "import", "seconds"], None),
        (["steps", "import", "key"], 3),
        (["steps", "import", "versions"], "numpy"),
        (["steps", "import", "versions"], {"numpy": 2}),
        (["steps", "import", "facts"], []),
        (["steps", "import", "outputs"], ["a"]),
        (["steps", "import", "outputs"], {"../../mine.txt": "0"}),
        (["steps", "import", "outputs"], {"/etc/passwd": "0"}),
        (["steps", "import"], 3),
        (["steps"], {"../elsewhere": None}),
        (["steps"], 3),
        (["left"], {"../elsewhere": {}}),
        (["under_way"], "../elsewhere"),
        (["under_way"], 3),
        (["failed"], {"step": "import"}),
        (["failed"], "import"),
        (["name"], None),
        (["options"], "rtl"),
    ],
)  # fmt: skip
def test_wrong_values_in_a_manifest(place, value, built, capsys):
    table = json.loads((built / "manifest.json").read_text())
    inner = table
    for name in place[:-1]:
        inner = inner[name]
    inner[place[-1]] = value
    (built / "manifest.json").write_text(json.dumps(table))
    with pytest.raises(DataError, match="a field is missing, unknown or wrong: "):
        Manifest.load(built)
    said = error_of(capsys, "report", built)
    assert said.startswith(f"{built}/manifest.json: a field is missing, unknown or wrong: ")


@pytest.mark.parametrize(
    "facts",
    [{"agreement": [{"executor": "x"}]}, {"resources": {"source": "x"}}, {"resources": 3},
     {"formats": {"a": 3}}, {"agreement": "text"}],
)  # fmt: skip
def test_wrong_facts_in_a_manifest(facts, built, capsys):
    table = json.loads((built / "manifest.json").read_text())
    table["steps"]["import"]["facts"] = facts
    (built / "manifest.json").write_text(json.dumps(table))
    assert error_of(capsys, "report", built).startswith(
        f"{built}: the facts of a step in manifest.json are damaged: "
    )


def test_a_full_disk_where_a_report_goes(built, capsys):
    said = error_of(capsys, "report", built, "--html", "/dev/full")
    assert said == "/dev/full: cannot be written: No space left on device"


def test_a_full_disk_in_a_step(model, tmp_path, capsys, monkeypatch):
    def full(path, *_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(np, "save", full)
    command = ["build", model, "--target", "rtl", "--until", "import", "-o", tmp_path / "out"]
    said = error_of(capsys, *command)
    assert said.endswith("import/inputs.npy: No space left on device") or said.endswith(
        ".partial/inputs.npy: No space left on device"
    )
    monkeypatch.undo()
    assert main([str(word) for word in command]) == 0


def test_a_full_disk_behind_standard_output(model):
    with Path("/dev/full").open("w") as full:
        result = subprocess.run(
            [sys.executable, "-m", "qfx_plugin.cli", "boards"],
            stdout=full, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert result.returncode == 2 and "Traceback" not in result.stderr
    assert result.stderr.startswith("qfx: No space left on device\n")


def test_a_reader_that_has_seen_enough():
    read, write = os.pipe()
    os.close(read)
    result = subprocess.run(
        [sys.executable, "-m", "qfx_plugin.cli", "boards"],
        stdout=write, stderr=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip
    os.close(write)
    assert result.returncode in (1, 2) and result.stderr == ""  # 1: rich ends the process


def test_what_cannot_be_written_stays(tmp_path, monkeypatch):
    path = write_file(tmp_path / "a" / "x.txt", "old")
    path.chmod(0o640)

    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    text = r"^.*x\.txt: cannot be written: No space left on device$"
    with pytest.raises(DataError, match=text):
        write_file(path, "new")
    assert path.read_text() == "old" and [p.name for p in path.parent.iterdir()] == ["x.txt"]
    monkeypatch.undo()
    (tmp_path / "link").symlink_to(path)
    write_file(tmp_path / "link", b"new")
    assert path.read_text() == "new" and (tmp_path / "link").is_symlink()
    assert path.stat().st_mode & 0o777 == 0o640
    with pytest.raises(DataError, match=r"a: cannot be written: Is a directory"):
        write_file(tmp_path / "a", "x")
    with pytest.raises(
        DataError, match=r"y\.json: cannot be written: (Not a directory|File exists)"
    ):
        save({"a": 1}, path / "y.json")


def test_a_cache_that_cannot_be_made(model, tmp_path, capsys, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("QFX_CACHE", str(tmp_path / "file" / "cache"))

    def verify(*_, **__):
        (tmp_path / "file" / "cache").mkdir(parents=True)

    monkeypatch.setattr("qfx_plugin.verify.verify", verify)
    assert error_of(capsys, "verify", model) == (
        f"{tmp_path}/file/cache: Not a directory: set QFX_CACHE to a folder that can be written"
    )


def test_output_of_tools_in_any_encoding(tmp_path, monkeypatch):
    tool = tmp_path / "g++"
    tool.write_text(
        "#!/bin/sh\nprintf 'g++ (Gr\\374n) 12\\n'\nprintf 'x.cc: error: \\374\\n' >&2\n"
        '[ "$1" = --version ]\n'
    )
    tool.chmod(0o755)
    monkeypatch.setenv("CXX", str(tool))
    assert compiler.version() == "g++ (Gr\ufffdn) 12"
    with pytest.raises(Exception, match="could not compile x.cc: x.cc: error: \ufffd"):
        compiler.compile_object(Path("x.cc"), tmp_path / "x.o")


def test_names_that_are_no_text(model, tmp_path, capsys):
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/n\xff.onnx"))
    path.write_bytes(model.read_bytes())
    result = subprocess.run(
        [sys.executable, "-m", "qfx_plugin.cli", "verify", path, "--executors", "qonnx"],
        capture_output=True, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith(b"n\\udcff: interpreter, 256 samples")
    command = ["build", str(path), "--target", "rtl", "--until", "import"]
    assert main([*command, "-o", str(tmp_path / "o")]) == 0
