"""The JSON form: every operation comes back, old files load, and nothing else does."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import numpy as np
import pytest

from qfx_plugin.errors import ModelFileError, QfxError, UnsupportedModelError
from qfx_plugin.ir import (
    OPERATIONS,
    Graph,
    Op,
    graph_from_json,
    graph_to_json,
    interpret,
    json_form,
    ops,
)
from qfx_plugin.qonnx_import import load_qonnx
from tests import qonnx_models as models

GOLDEN_CODES = [[-1290532, 21316, -591032], [-32780, -768712, -1791392]]
GOLDEN = Path(__file__).parent / "golden"


def golden() -> str:
    return (GOLDEN / "graph_v1.json").read_text(encoding="utf-8")


def test_a_file_of_version_1_still_computes_the_same():
    """The file and the codes were written by the first version; neither may ever change."""
    graph = graph_from_json(golden())
    x = np.arange(64).reshape(2, 2, 4, 4) % 23 / 8 - 1
    out = interpret(graph, x)["out"]
    assert out.codes.tolist() == GOLDEN_CODES
    assert out.frac_bits == 10


def test_the_file_of_version_1_holds_every_operation_of_then():
    kinds = {type(op).__name__ for op in graph_from_json(golden())}
    assert kinds == {
        "Add", "AveragePool", "Clip", "Concat", "Constant", "Conv", "Identity", "Input", "Linear",
        "MaxPool", "Multiply", "PRelu", "Quantize", "Relu", "Reshape", "SumPool",
    }  # fmt: skip


def test_every_operation_of_today_can_be_written():
    """`tests.ir.graphs.graph` also writes and reads each graph that a test of an op builds."""
    kinds = {getattr(ops, name) for name in ops.__all__ if isinstance(getattr(ops, name), type)}
    whole = {kind.__name__: kind for kind in kinds if issubclass(kind, Op) and is_whole(kind)}
    assert whole == OPERATIONS


def is_whole(kind: type[Op]) -> bool:
    return not getattr(kind, "__abstractmethods__", None)


@pytest.mark.parametrize(
    "make", [models.mlp, models.cnn, models.residual, models.depthwise, models.concat,
             models.per_channel_activation]
)  # fmt: skip
def test_whole_networks_come_back_and_the_text_repeats(make):
    graph = load_qonnx(make())
    text = graph.to_json()
    again = Graph.from_json(text)
    assert again == graph and graph_to_json(again) == text
    assert [type(op) for op in again] == [type(op) for op in graph]
    x = models.random_inputs(make(), 5)
    assert interpret(again, x)["logits"] == interpret(graph, x)["logits"]


def changed(path: list[object], value: object) -> str:
    """The golden file with one value changed, or removed if `value` is `...`."""
    document = json.loads(golden())
    place = document
    for key in path[:-1]:
        place = place[key]
    if value is ...:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return json.dumps(document)


REFUSALS = [
    (["version"], 2, "JSON form: version must be 1 to 1, not 2"),
    (["version"], True, "JSON form: version must be 1 to 1, not True"),
    (["format"], "onnx", "JSON form: 'format' must be 'qfx-ir'"),
    (["extra"], 1, "graph: field 'extra' is unknown to version 1"),
    (["name"], ..., "graph: field 'name' is missing"),
    (["ops"], {}, "ops: must be a list"),
    (["outputs"], "out", "outputs: must be a list, not 'out'"),
    (["outputs", 0], 3, "outputs[0]: must be text, not 3"),
    (["ops", 1, "op"], "Exec", "ops[1]: op must be one of Add, ArgMax, AveragePool, "),
    (["ops", 1, "op"], [], "ops[1]: op must be one of Add, ArgMax, AveragePool, "),
    (["ops", 2, "width"], 8.0, "ops[2] (Quantize).width: must be an integer of 64 bits, not 8.0"),
    (["ops", 2, "width"], True, "ops[2] (Quantize).width: must be an integer of 64 bits, not True"),
    (["ops", 2, "width"], 1 << 70, "ops[2] (Quantize).width: must be an integer of 64 bits, not 1"),
    (["ops", 2, "signed"], 1, "ops[2] (Quantize).signed: must be true or false, not 1"),
    (["ops", 2, "frac_bits"], 1 << 40, "ops[2] (Quantize).frac_bits: must lie between -4096 and "),
    (["ops", 2, "frac_bits"], None, "ops[2] (Quantize).frac_bits: must be an integer of 64 bits"),
    (["ops", 2, "rounding"], "UP", "ops[2] (Quantize).rounding: must be one of AP_TRN, AP_TRN_ZE"),
    (["ops", 2, "colour"], 1, "ops[2] (Quantize): field 'colour' is unknown to version 1"),
    (["ops", 2, "width"], ..., "ops[2] (Quantize): field 'width' is missing"),
    (["ops", 3, "window"], [], "ops[3] (Conv).window: must be an object, not []"),
    (["ops", 3, "window", "pads", 0], [1], "ops[3] (Conv).window.pads[0]: must have 2 entries, no"),
    (["ops", 3, "weight"], None, "ops[3] (Conv).weight: must be an object, not None"),
    (["ops", 3, "weight", "codes", 0], 0.5, "ops[3] (Conv).weight.codes: must be a list of integ"),
    (["ops", 3, "weight", "shape"], [1 << 40], "ops[3] (Conv).weight: shape [1099511627776] doe"),
    (["ops", 3, "weight", "frac_bits", 0], -9999, "ops[3] (Conv).weight.frac_bits: must lie betw"),
]


@pytest.mark.parametrize(("path", "value", "text"), REFUSALS)
def test_what_is_wrong_is_said_with_its_place(path, value, text):
    with pytest.raises(ModelFileError, match=f"^{re.escape(text)}") as caught:
        graph_from_json(changed(path, value))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "JSON form: is no JSON, or is damaged: Expecting value"),
        ("[1]", "JSON form: 'format' must be 'qfx-ir'"),
        ("[" * 100_000, "JSON form: is no JSON, or is damaged: "),
        ('{"a": 1, "a": 2}', "JSON form: a key occurs twice in one object"),
        ('{"a": NaN}', "JSON form: numbers must be integers, not NaN"),
        ("9" * 10_000, "JSON form: is no JSON, or is damaged: "),
    ],
)
def test_what_is_no_json_of_ours(text, message):
    with pytest.raises(ModelFileError, match=f"^{re.escape(message)}"):
        graph_from_json(text)


def test_too_long_a_text(monkeypatch):
    monkeypatch.setattr(json_form, "MAX_CHARACTERS", 10)
    with pytest.raises(ModelFileError, match="^JSON form: must have at most 10 characters, not 32"):
        graph_from_json(golden())


def test_the_rules_of_the_model_hold_for_json_too():
    with pytest.raises(UnsupportedModelError, match=r"^Relu 'relu': reads tensor 'nowhere'"):
        graph_from_json(changed(["ops", 6, "inputs", 0], "nowhere"))


def test_files_of_an_earlier_version_are_upgraded(monkeypatch):
    """How a version 0 with another name of a field would be read."""

    def upgrade(document: dict) -> dict:
        return {**{k: v for k, v in document.items() if k != "nodes"}, "ops": document["nodes"],
                "version": 1}  # fmt: skip

    monkeypatch.setitem(json_form.UPGRADES, 0, upgrade)
    document = json.loads(golden())
    old = {**document, "version": 0, "nodes": document["ops"]}
    del old["ops"]
    assert graph_from_json(json.dumps(old)) == graph_from_json(golden())


def test_mutated_texts_raise_our_errors_only(rng):
    text = golden()
    for _ in range(400):
        damaged = bytearray(text.encode())
        for _ in range(int(rng.integers(1, 4))):
            place = int(rng.integers(0, len(damaged)))
            damaged[place : place + int(rng.integers(0, 3))] = rng.choice(
                [b"9", b"-", b'"', b"null", b"[", b"}", b"1e9", b"999999999", b"op"]
            )
        start = time.perf_counter()
        try:
            graph_from_json(damaged.decode())
        except QfxError as error:
            assert "\n" not in str(error)
        assert time.perf_counter() - start < 5
