"""A user's files in and beside a build folder: none is ever lost, none causes a rebuild."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from qfx_plugin.build import Manifest, build
from qfx_plugin.build.ownership import rescue
from qfx_plugin.build.workspace import Workspace, digests
from qfx_plugin.errors import DataError
from tests.build import toy_target

NAMES = ("first", "second", "third", "last")


@pytest.fixture(autouse=True)
def toy(monkeypatch):
    toy_target.install(monkeypatch)


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "m.onnx"
    path.write_bytes(b"model")
    return path


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def run(model, out, **options) -> str:
    return " ".join(step.status for step in build(model, out=out, target="toy", **options).steps)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*") if path.is_file()
    }  # fmt: skip


@pytest.mark.parametrize(
    "name",
    ["notes.txt", "model.onnx", "report.html", "report.json", "options.yaml", "first/mine.txt",
     "logs/first.log", ".old/mine.txt", ".partial/mine.txt", ".scratch/x", "data/mine.txt",
     "manifest.json", ".hidden", ".model.onnx.7.part"],
)  # fmt: skip
def test_a_folder_of_a_users_own_is_refused_untouched(name, model, out):
    (out / name).parent.mkdir(parents=True)
    (out / name).write_text("mine")
    with pytest.raises(DataError) as error:
        build(model, out=out, target="toy")
    assert str(error.value) == (
        f"{out}: is not empty and no build folder (it holds {name.partition('/')[0]}): name a new "
        "or an empty folder, nothing was touched"
    )
    assert contents(out) == {name: b"mine"}


@pytest.mark.parametrize("text", ['{"version": 1, "name": "web app"}', '{"steps": {}}', "mine"])
def test_somebody_elses_manifest_makes_no_build_folder(text, model, out):
    out.mkdir()
    (out / "manifest.json").write_text(text)
    with pytest.raises(DataError, match="is not empty and no build folder"):
        build(model, out=out, target="toy")
    assert contents(out) == {"manifest.json": text.encode()}


def test_an_empty_folder_and_one_of_a_killed_beginning_are_taken(model, out):
    out.mkdir()
    (out / ".lock").touch()  # all that a build leaves that is killed at its first moment
    assert run(model, out) == "done done done done"


def test_a_folder_of_an_earlier_version_is_taken(model, out):
    run(model, out)
    (out / ".lock").write_text("")
    table = json.loads((out / "manifest.json").read_text())
    for name in ("left", "under_way"):
        del table[name]
    (out / "logs/written.json").unlink()
    (out / "manifest.json").write_text(json.dumps(table))
    assert run(model, out) == "reused reused reused reused"
    assert not (out / "kept").exists()


@pytest.mark.parametrize("name", [".partial", ".old", ".scratch", ".inputs"])
@pytest.mark.parametrize("kind", ["link", "dangling link", "folder", "file"])
def test_names_of_work_folders_that_are_a_users(name, kind, model, out, tmp_path):
    run(model, out)
    target = tmp_path / "elsewhere"
    target.mkdir()
    (target / "mine.txt").write_text("mine")
    if kind.endswith("link"):
        (out / name).symlink_to(target / "nothing" if kind == "dangling link" else target)
    elif kind == "folder":
        target.rename(out / name)
    else:
        (out / name).write_text("mine")
    before = contents(tmp_path)
    with pytest.raises(DataError, match=f"{name}: is in the way and not of a build: move it"):
        build(model, out=out, target="toy", from_step="second")
    after = contents(tmp_path)
    assert {path: text for path, text in before.items() if text == b"mine"}.items() <= after.items()
    assert (out / name).is_symlink() == kind.endswith("link")
    assert len(digests(out / "second")) == toy_target.FILES  # what was good before is there


def test_links_are_not_written_through(model, out, tmp_path):
    mine = tmp_path / "mine.txt"
    mine.write_text("mine")
    for name in (".lock", "logs"):
        folder = tmp_path / f"out{name}"
        run(model, folder)
        if name == "logs":
            (folder / name).rename(tmp_path / "moved")
        else:
            (folder / name).unlink()
        (folder / name).symlink_to(mine)
        with pytest.raises(DataError):
            build(model, out=folder, target="toy", letter="b")
    run(model, out)
    for place in ("logs/second.log", "report.html", "options.yaml", "second/3.txt"):
        (out / place).unlink()
        (out / place).symlink_to(mine)
    assert run(model, out, letter="b") == "done done reused done"
    assert mine.read_text() == "mine"


def test_more_files_in_a_steps_folder_change_nothing(model, out):
    run(model, out)
    (out / "second/bitstream/deep").mkdir(parents=True)
    (out / "second/bitstream/deep/net.bit").write_text("days of work")
    (out / "second/more.txt").write_text("mine")  # of a kind that the last step reads
    (out / "second/link").symlink_to("more.txt")
    expected = digests(out / "last")
    assert run(model, out) == "reused reused reused reused"
    assert run(model, out, from_step="last") == "reused reused reused done"
    assert digests(out / "last") == expected  # it was given the step's own files only
    model.write_bytes(b"another")
    assert run(model, out) == "done done done done"
    assert (out / "second/bitstream/deep/net.bit").read_text() == "days of work"
    assert (out / "second/more.txt").read_text() == "mine"
    assert os.readlink(out / "second/link") == "more.txt"
    assert not (out / "kept").exists() and not (out / ".inputs").exists()


def test_a_folder_in_the_place_of_a_step_to_come(model, out):
    run(model, out, until="first")
    (out / "second").mkdir()
    (out / "second/mine.txt").write_text("mine")
    (out / "second/3.txt").write_text("mine too")
    (out / "third").write_text("a file")
    result = build(model, out=out, target="toy")
    assert result.kept == ("kept/second/3.txt", "kept/third")
    assert (out / "second/mine.txt").read_text() == "mine"
    assert (out / "kept/second/3.txt").read_text() == "mine too"
    assert (out / "kept/third").read_text() == "a file"
    assert len(Manifest.load(out).steps["second"].outputs) == toy_target.FILES


def test_what_is_the_same_is_not_set_aside(model, out, tmp_path):
    """As after a kill between a step's last rename and its record."""
    run(model, tmp_path / "other")
    run(model, out, until="first")
    (tmp_path / "other" / "second").rename(out / "second")
    result = build(model, out=out, target="toy")
    assert result.kept == () and not (out / "kept").exists()
    assert len(list((out / "second").iterdir())) == toy_target.FILES


def test_what_was_written_over_is_set_aside(model, out):
    run(model, out)
    for _ in range(2):
        for name in ("second/3.txt", "report.html", "options.yaml", "model.onnx"):
            (out / name).write_text("mine")
        run(model, out)
    names = ("model.onnx", "options.yaml", "report.html", "second/3.txt")
    expected = {f"{name}{end}": b"mine" for name in names for end in ("", ".1")}
    assert contents(out / "kept") == expected


def test_words_of_the_options_stay(model, out):
    run(model, out, letter="z")
    with (out / "options.yaml").open("a") as file:
        file.write("# why z\n")
    build(model, out=out, options=out / "options.yaml")
    assert (out / "options.yaml").read_text().endswith("# why z\n")
    assert not (out / "kept").exists()


def test_the_model_of_the_folder_itself(model, out):
    run(model, out)
    (out / "model.onnx").write_bytes(b"changed")
    assert run(out / "model.onnx", out) == "done done done done"
    assert (out / "model.onnx").read_bytes() == b"changed" and not (out / "kept").exists()


def test_old_files_of_a_step_go(model, out):
    """Nothing of an earlier result is left beside the new one, also after a failure."""
    run(model, out)
    toy_files, toy_target.FILES = toy_target.FILES, 3
    try:
        with pytest.raises(DataError):
            build(model, out=out, target="toy", letter="b", fail="first")
        assert run(model, out, letter="b") == "done done reused done"
        assert len(list((out / "first").iterdir())) == 3
    finally:
        toy_target.FILES = toy_files
    assert not (out / "kept").exists() and not Manifest.load(out).left


def test_a_folder_becomes_a_file_with_something_in_it(model, out, monkeypatch):
    run(model, out)
    (out / "first/20.txt").mkdir()
    (out / "first/20.txt/mine").write_text("mine")
    monkeypatch.setattr(toy_target, "FILES", 21)
    assert run(model, out, letter="b").startswith("done")
    assert (out / "first/20.txt").is_file()
    assert (out / "kept/first/20.txt/mine").read_text() == "mine"


def test_a_folder_of_the_step_becomes_a_file(tmp_path):
    for name in ("old/sub", "new"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "old/sub/own").write_text("own")
    (tmp_path / "old/sub/mine").write_text("mine")
    (tmp_path / "new/sub").write_text("now a file")
    owned = digests(tmp_path / "old", ["sub/own"])
    kept = rescue(tmp_path / "old", tmp_path / "new", tmp_path / "kept", owned)
    assert kept == ["kept/sub/mine"] and (tmp_path / "kept/sub/mine").read_text() == "mine"


@pytest.mark.parametrize("moment", ["before", "between", "after"])
def test_killed_while_a_folder_takes_its_place(moment, model, out):
    """As `Workspace.keep` leaves it: old folder moved, new one not yet, or both, nothing rescued"""
    run(model, out)
    (out / "second/mine.txt").write_text("mine")
    Manifest.load(out).at_work("second").write(out)
    (out / ".partial").mkdir()
    (out / ".partial/3.txt").write_text("new")
    if moment != "before":
        (out / "second").rename(out / ".old")
    if moment == "after":
        (out / ".partial").rename(out / "second")
    assert run(model, out) == "reused done reused reused"
    assert (out / "second/mine.txt").read_text() == "mine"
    assert len(list((out / "second").iterdir())) == toy_target.FILES + 1
    assert not any((out / name).exists() for name in (".partial", ".old", ".scratch"))


def test_a_record_goes_before_the_step_begins(model, out, monkeypatch):
    run(model, out)
    seen = []
    work = toy_target._work

    def look(context, name, *earlier):
        manifest = Manifest.load(out)
        seen.append((name, manifest.under_way, name in manifest.steps))
        return work(context, name, *earlier)

    monkeypatch.setattr(toy_target, "_work", look)
    run(model, out, letter="b")
    assert seen == [(name, name, False) for name in ("first", "second", "last")]
    assert Manifest.load(out).under_way == ""


def test_an_interrupt_is_remembered_as_a_failure(model, out, monkeypatch):
    monkeypatch.setattr(toy_target, "_work", lambda *_: os.kill(os.getpid(), signal.SIGINT))
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            build(model, out=out, target="toy")
    finally:
        signal.signal(signal.SIGINT, before)
    assert Manifest.load(out).failed["step"] == "first" and not Manifest.load(out).under_way


def test_left_parts_of_killed_writers_go(model, out):
    run(model, out)
    (out / ".manifest.json.123.part").write_text("{")
    with Workspace(out).locked():
        pass
    assert not list(out.glob("*.part"))
