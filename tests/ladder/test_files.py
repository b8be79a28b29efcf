"""Files: both readers, the file written again, and the programs that run files."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from brevitas_quantizers import export_qonnx, import_qonnx
from qfx_plugin import load_qonnx, verify_agreement
from qfx_plugin.ir import interpret
from tests.operations import EXPORT, FILE, IMPORT, ROWS, taken
from tests.qonnx.roundtrip_checks import assert_same_bytes

PROGRAMS = ["qonnx", "onnxruntime"]


def values(graph, x):
    """Of the one output."""
    (output,) = interpret(graph, x).values()
    return output.values


@pytest.mark.parametrize("row", taken(FILE), ids=str)
def test_every_reader_and_every_program(row):
    x = row.x.astype(np.float32)
    assert np.array_equal(values(load_qonnx(row.file), x), values(row.graph, x))
    model, programs = (
        (None, PROGRAMS) if IMPORT in row.refused else (row.model, ["torch", *PROGRAMS])
    )
    result = verify_agreement(row.file, x, model, executors=programs)
    result.raise_if_different(required=programs)


@pytest.mark.parametrize("row", [row for row in taken(FILE) if IMPORT not in row.refused], ids=str)
def test_what_is_imported_is_written_again(row):
    """The same network; the same bytes where the file was ours."""
    x = torch.tensor(row.x[:1], dtype=torch.float32)
    twin = import_qonnx(row.file)
    again = export_qonnx(twin, x)
    assert np.array_equal(values(load_qonnx(again), row.x), values(row.graph, row.x))
    assert_same_bytes(again, row.file if row.layer else export_qonnx(import_qonnx(again), x))


def test_rows_without_a_file_are_few():
    assert sum(EXPORT in row.refused or FILE in row.refused for row in ROWS) < len(ROWS) // 10
