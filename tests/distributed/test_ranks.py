"""Two gloo processes have the binary points, formats and loss of one with all of the data."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch

from tests.distributed import networks
from tests.distributed.processes import run_ranks

OPTIONS = [
    {"binary_point_init": init, "binary_point_grad_scale": scale}
    for init, scale in itertools.product(("mse", "max"), (1.0, "lsq"))
]


@pytest.fixture(scope="module")
def ranks() -> list[dict[str, Any]]:
    """What each of the two processes found."""
    return run_ranks(networks.every_scenario, OPTIONS)


def assert_same(result: dict, other: dict, tolerance: float = 0.0) -> None:
    """Equal formats; binary points and losses equal to the tolerance."""
    assert result["formats"] == other["formats"]
    for name, points in result["points"].items():
        torch.testing.assert_close(points, other["points"][name], rtol=0, atol=tolerance)
    losses = [each.get("losses", []) for each in (result, other)]
    assert losses[0] == pytest.approx(losses[1], rel=tolerance, abs=0)


@pytest.mark.parametrize(
    "index", range(len(OPTIONS)), ids=lambda i: "-".join(map(str, OPTIONS[i].values()))
)
def test_ddp_on_half_batches_is_one_process_on_the_whole(ranks, index):
    first, second = (rank["ddp"][index] for rank in ranks)
    assert_same(first, second)
    model = networks.small_cnn(**OPTIONS[index])
    alone = networks.train(model, *networks.data())
    assert_same(first, alone, tolerance=1e-5)
    start = networks.train(networks.small_cnn(**OPTIONS[index]), *networks.data(), steps=1)
    moved = [(alone["points"][n] - start["points"][n]).abs().max() for n in start["points"]]
    assert max(moved) > 1e-3  # they are trained, not only initialised


def test_fsdp2_on_half_batches_is_one_process_on_the_whole(ranks):
    first, second = (rank["sharded"] for rank in ranks)
    assert_same(first, second)
    assert_same(first, networks.train(networks.small_cnn(), *networks.data()), tolerance=1e-5)


def test_one_rank_alone_would_have_chosen_other_points():
    """The comparison is not vacuous."""
    halves = [networks.share(rank, *networks.data()) for rank in (0, 1)]
    results = [networks.train(networks.small_cnn(), *half, steps=1) for half in halves]
    assert results[0]["formats"] != results[1]["formats"]


@pytest.mark.parametrize("samples", networks.CALIBRATION_SAMPLES)
def test_calibration_sees_the_data_of_all_ranks(ranks, samples):
    first, second = (rank["calibrated"][samples] for rank in ranks)
    assert_same(first, second)
    alone = networks.small_cnn()
    networks.calibrate(alone, [networks.data(samples=samples)[0]])
    assert_same(first, networks.state(alone))


def test_a_rank_without_data_gets_the_points_of_the_others(ranks):
    first, second = (rank["uneven"] for rank in ranks)
    assert_same(first, second)
    alone = networks.small_cnn()
    networks.calibrate(alone, [networks.data()[0]])
    assert_same(first, networks.state(alone))


def test_errors_reach_every_rank(ranks):
    first, second = (rank["refusals"] for rank in ranks)
    empty = "calibrate: the loader must yield at least one batch, not 0"
    who = "QuantIdentity.act_quant: values must be finite, but "
    assert first == [empty, f"{who}those of another rank are not"]
    assert second == [empty, f"{who}130 of 130 are not, the first nan at index (0,)"]


def test_state_that_ddp_copies_from_rank_0_is_not_initialised_again(ranks):
    first, second = (rank["state of rank 0"] for rank in ranks)
    assert_same(first, second)
    assert first["points"]["0.act"] == pytest.approx(3.0, abs=0.5)


@pytest.mark.parametrize("scenario", ["batch norm", "shared batch norm"])
def test_batch_norm_has_one_format_on_all_ranks(ranks, scenario):
    first, second = (rank[scenario] for rank in ranks)
    assert_same(first, second)
