"""How codes lie in bytes, and the description that says so."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from brevitas_quantizers.fixed_point import FixedPointCast, FixedPointFormat
from qfx_plugin.driver import Description, DescriptionError, InputTensor, Layout, OutputTensor
from qfx_plugin.driver.registers import MIXED_POINTS, format_word

layouts = st.builds(
    Layout,
    positions=st.integers(1, 12),
    values=st.integers(1, 40),
    bits=st.sampled_from((8, 16, 32)),
    signed=st.booleans(),
    bus_bits=st.sampled_from((32, 64, 128)),
)


@given(layouts, st.integers(1, 3), st.integers(0, 2**32 - 1))
def test_bytes_and_back(layout, samples, seed):
    low, high = (-100, 100) if layout.signed else (0, 200)
    shape = (samples, layout.positions, layout.values)
    codes = np.random.default_rng(seed).integers(low, high, shape)
    data = np.zeros(samples * layout.sample_bytes, dtype=np.uint8)
    layout.pack(codes, data)
    np.testing.assert_array_equal(layout.unpack(data, samples), codes)
    # A position begins in a beat of its own, or lies in one beat with as many as fit.
    assert layout.fit * layout.values <= layout.lanes or layout.fit == 1
    assert layout.beats * layout.lanes >= layout.positions * layout.values


def test_positions_that_share_a_beat():
    """Two pixels of three bytes in a beat of eight; the fifth begins the third beat."""
    layout = Layout(positions=5, values=3, bits=8, signed=True, bus_bits=64)
    data = np.zeros(layout.sample_bytes, dtype=np.uint8)
    layout.pack(np.arange(15).reshape(1, 5, 3) - 1, data)
    assert data.reshape(3, 8).tolist() == [
        [255, 0, 1, 2, 3, 4, 0, 0],
        [5, 6, 7, 8, 9, 10, 0, 0],
        [11, 12, 13, 0, 0, 0, 0, 0],
    ]


def test_positions_of_several_beats():
    layout = Layout(positions=2, values=3, bits=16, signed=False, bus_bits=32)
    data = np.zeros(layout.sample_bytes, dtype=np.uint8)
    layout.pack(np.array([[[1, 2, 65535], [4, 5, 6]]]), data)
    assert data.view("<u2").tolist() == [1, 2, 65535, 0, 4, 5, 6, 0]


def test_format_words():
    assert format_word(12, True, 16, -3) == 0xFD10_010C
    assert format_word(8, False, 8, None) >> 24 == format_word(8, False, 8, 200) >> 24
    assert format_word(8, False, 8, None) >> 24 == MIXED_POINTS


def description() -> Description:
    return Description(
        top="net_axi",
        network="net",
        network_id="0123456789abcdef" * 2,
        board="ultra96-v2",
        clock_mhz=100.0,
        inputs=(
            InputTensor("x", (4,), (FixedPointCast.parse("ap_fixed<6,2,AP_RND,AP_SAT>"),),
                        (3, 2, 1, 0), (2, 2)),
        ),
        outputs=(OutputTensor("y", (3,), (FixedPointFormat(9, 4),)),),
        channels_last=False,
        input_layout=Layout(1, 4, 8, True, 64),
        output_layout=Layout(1, 3, 16, True, 64),
        interval=1,
        accelerator_address=0xA001_0000,
        dma_address=0xA000_0000,
        dma_length_bits=26,
    )  # fmt: skip


def test_the_description_survives_its_file(tmp_path):
    path = tmp_path / "accelerator.json"
    path.write_text(description().to_json())
    assert Description.load(path) == description()


def test_the_largest_transfer():
    assert description().most_frames == (2**26 - 1) // 8
    assert replace(description(), dma_length_bits=4).most_frames == 1
    assert replace(description(), dma_length_bits=3).most_frames == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 1}, "version must be 3, not 1"),
        ({"network_id": "xyz"}, "network_id must be 32 hexadecimal digits, not 'xyz'"),
        ({"inputs": [{"name": "x"}]}, "a field is missing or wrong: 'shape'"),
        ({"top": None, "extra": 1}, "unexpected keyword argument 'extra'"),
        ({"output_layout": {"positions": 1, "values": 4, "bits": 16, "signed": True,
                            "bus_bits": 64}}, "output_layout must hold 3 codes, not 4"),
        ({"input_layout": {"positions": 1, "values": 4, "bits": 12, "signed": True,
                           "bus_bits": 64}}, "bits must be one of (8, 16, 32, 64), not 12"),
        ({"outputs": [{"name": "y", "shape": [3], "formats": ["int8"]}]}, "not 'int8'"),
    ],
)  # fmt: skip
def test_descriptions_that_are_refused(change, message, tmp_path):
    table = json.loads(description().to_json()) | change
    path = tmp_path / "accelerator.json"
    path.write_text(json.dumps(table))
    with pytest.raises(DescriptionError) as error:
        Description.load(path)
    assert message in str(error.value) and "\n" not in str(error.value)
    assert str(error.value).startswith(str(path))


def test_a_description_that_is_no_file(tmp_path):
    with pytest.raises(DescriptionError, match="cannot be read"):
        Description.load(tmp_path / "none.json")
    (tmp_path / "list.json").write_text("[]")
    with pytest.raises(DescriptionError, match=r"version must be 3, not \[\]"):
        Description.load(tmp_path / "list.json")
