"""Accuracy of the demo's networks over seeds: float, QFX at 8, 6 and 4 bits, K-hot, and 4 bits
with binary points frozen where the data put them at the start.

    python benchmarks/digits_accuracy.py --seeds 3

Same network, epochs, data order and start weights for all rows of a seed.
"""

from __future__ import annotations

import argparse
import statistics

import torch
from common import environment, parser, print_table, write_results

from qfx_plugin.demo.data import load_dataset
from qfx_plugin.demo.models import NETWORKS, RECIPES, Recipe
from qfx_plugin.demo.progress import SilentDemo
from qfx_plugin.demo.run import EPOCHS, train_one

FROZEN = Recipe("QFX 4-bit, frozen points", 4, learn_binary_point=False)


def main() -> None:
    """Train, print the table, write `benchmarks/results/digits_accuracy.json`."""
    options = _options()
    torch.set_num_threads(options.threads)
    data = load_dataset("digits")
    rows = []
    for network in options.networks:
        baseline = None
        for recipe in (*RECIPES, FROZEN):
            accuracies = [
                train_one(data, network, recipe, options.epochs, seed, SilentDemo()).accuracy
                for seed in range(options.seeds)
            ]
            mean = statistics.mean(accuracies)
            baseline = mean if baseline is None else baseline
            rows.append(
                {
                    "network": network,
                    "recipe": recipe.name,
                    "mean": round(mean, 2),
                    "lost": round(baseline - mean, 2),
                    "seeds": " ".join(f"{value:.2f}" for value in accuracies),
                }
            )
    print_table(rows)
    write_results("digits_accuracy", {"options": vars(options), "rows": rows} | environment())


def _options() -> argparse.Namespace:
    arguments = parser(__doc__)
    arguments.add_argument("--seeds", type=int, default=3)
    arguments.add_argument("--epochs", type=int, default=EPOCHS["digits"])
    arguments.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    arguments.add_argument("--threads", type=int, default=1)
    return arguments.parse_args()


if __name__ == "__main__":
    main()
