"""hls4ml's C simulation of random networks equals the integer interpreter on every code."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.campaign import part
from tests.hls4ml_backend.random_comparison import NETWORKS, compare

CHUNK, FIRST = 10, 2
"""Networks of a test, and tests that always run of the campaign."""

REFUSED = 0
"""All of them convert. A network that is refused would be one that is not compared."""

INPUTS = 300


@pytest.mark.slow
@pytest.mark.parametrize("first", part(range(0, NETWORKS, CHUNK), FIRST))
def test_random_networks_equal_the_interpreter(first: int, tmp_path: Path) -> None:
    results = [compare(index, tmp_path / str(index)) for index in range(first, first + CHUNK)]
    refused = [result for result in results if result.refused]
    assert len(refused) <= REFUSED, "\n".join(map(str, refused))
    assert all(result.codes >= 2 * INPUTS for result in results if not result.refused)
    wrong = [result for result in results if result.different]
    assert not wrong, "\n" + "\n".join(map(str, wrong))
