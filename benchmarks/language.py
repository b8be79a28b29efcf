"""A character language model in fixed point, on the documentation that ships with Python.

    python benchmarks/language.py            # some minutes on one core

A causal block on windows of 32 characters: width 48, three heads. The text is `pydoc_data.topics`
(PSF licence): the first eight tenths train, the last is the test set; with `--validation` figures
are those of the ninth, where the recipe was chosen. Each seed trains the network in float; then
come `quantize`, `calibrate`, and `distill` for as many steps as *longer* trains the float network
further. Figures are bits a character. What products multiply has `--bits` bits: weights, with a
binary point for each output channel, and queries, keys, values, their mean, and what softmax and
ReLU give. Norms, which queries, keys, values and the wide layer read, have 8, as have rows of the
embedding, the sums along the residual path and what is added to them, what softmax is given,
biases, and the head's weights and input.

Trained networks are kept under `build/benchmarks`; codes are those of the last seed's.
"""

from __future__ import annotations

import argparse
import copy
import math
import platform
from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from cifar_data import CACHE
from common import codes, environment, parser, print_table, write_results
from cost_data import Batches
from torch import Tensor, nn
from torch.nn import functional

from brevitas_quantizers import calibrate, distill, quantize

CONTEXT, WIDTH, HEADS, VOCABULARY = 32, 48, 3, 64
BATCH = 32
RECIPE: dict[str, Any] = {
    "weight_scaling_per_output_channel": True,
    "bias_bit_width": 8,
    "last_layer": {"weight_bit_width": 8},
    "overrides": {
        nn.Embedding: {"weight_bit_width": 8},
        nn.LayerNorm: {"bit_width": 8},
        "*softmax": {"input_bit_width": 8},
        "*add*": {"act_bit_width": 8},
        "block.out": {"act_bit_width": 8},
        "block.down": {"act_bit_width": 8},
    },
}
"""What has 8 bits."""


class Block(nn.Module):
    """Attention to what stands before, then two linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(WIDTH)
        self.norm2 = nn.LayerNorm(WIDTH)
        self.q, self.k, self.v, self.out = (nn.Linear(WIDTH, WIDTH) for _ in range(4))
        self.up, self.down = nn.Linear(WIDTH, 2 * WIDTH), nn.Linear(2 * WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, CONTEXT, WIDTH) to the same."""
        y = self.norm1(x)
        layers = (self.q, self.k, self.v)
        heads = (layer(y).unflatten(-1, (HEADS, -1)).transpose(1, 2) for layer in layers)
        y = functional.scaled_dot_product_attention(*heads, is_causal=True)
        x = x + self.out(y.transpose(1, 2).flatten(2))
        return x + self.down(functional.relu(self.up(self.norm2(x))))


class Language(nn.Module):
    """Logits of the next character behind each character of a window."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(VOCABULARY, WIDTH)
        self.position = nn.Parameter(torch.randn(1, CONTEXT, WIDTH) / 20)
        self.block = Block()
        self.norm = nn.LayerNorm(WIDTH)
        self.head = nn.Linear(WIDTH, VOCABULARY)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, CONTEXT) numbers of characters to (batch, CONTEXT, VOCABULARY)."""
        logits: Tensor = self.head(self.norm(self.block(self.embed(x) + self.position)))
        return logits


def load_text() -> Tensor:
    """Numbers of all characters; what is not among the most frequent ones is the last number."""
    from pydoc_data import topics

    text = "\n".join(topics.topics[name] for name in sorted(topics.topics))
    ranked = sorted(Counter(text).items(), key=lambda item: (-item[1], item[0]))
    number = {character: n for n, (character, _) in enumerate(ranked[: VOCABULARY - 1])}
    return torch.tensor([number.get(character, VOCABULARY - 1) for character in text])


def windows(text: Tensor, stride: int) -> tuple[Tensor, Tensor]:
    """Windows of a text, and the next character of each place."""
    parts = text.unfold(0, CONTEXT + 1, stride)
    return parts[:, :-1].contiguous(), parts[:, 1:].contiguous()


@torch.no_grad()
def bits_a_character(model: nn.Module, x: Tensor, y: Tensor) -> float:
    """Mean over all places of all windows."""
    logits = torch.cat([model.eval()(part) for part in x.split(128)])
    loss = functional.cross_entropy(logits.flatten(0, 1), y.flatten())
    return round(loss.item() / math.log(2), 4)


def measure(seed: int, text: tuple[Tensor, Tensor], options: Any) -> tuple[dict[str, Any], Any]:
    """Bits a character in float, after as much more training, and at few bits."""
    x, y = windows(text[0], 2)
    held = windows(text[1], CONTEXT)

    def trained(model: nn.Module, name: str, train: Callable[[nn.Module], Any]) -> nn.Module:
        """`model` trained, once."""
        path = CACHE / f"language-{seed}-{len(text[0])}-{name}.pt"
        if path.exists():
            model.load_state_dict(torch.load(path, weights_only=True))
        else:
            train(model)
            path.parent.mkdir(parents=True, exist_ok=True)
            torch.save(model.state_dict(), path)
        row[name.split("-")[0]] = bits_a_character(model, *held)
        print(row, flush=True)
        return model

    def training(steps: int, rate: float, teacher: nn.Module | None = None) -> Any:
        """The first `steps` batches of one order."""
        loader = Batches(x, y, seed + steps, BATCH, steps)
        return lambda model: distill(model, teacher, loader, 1, class_axis=-1, lr=rate)

    torch.manual_seed(seed)
    row: dict[str, Any] = {"seed": seed, "bits": options.bits}
    steps, more = options.steps, options.more
    network = trained(Language(), f"float-{steps}", training(steps, 4e-3))
    trained(copy.deepcopy(network), f"longer-{steps}-{more}", training(more, 2e-3))
    model = quantize(network, bit_width=options.bits, example=x[:1], **RECIPE)
    calibrate(model, [x[::1000]])
    row["calibrated"] = bits_a_character(model, *held)
    trained(model, f"trained-{steps}-{more}-{options.bits}", training(more, 4e-3, network))
    return row, model


def main() -> None:
    """Train, compare, print the table, write `benchmarks/results/language.json`."""
    options = _options()
    torch.set_num_threads(1)
    text = load_text()
    tenth = len(text) // 10
    held = text[-2 * tenth : -tenth] if options.validation else text[-tenth:]
    parts = text[: -2 * tenth], held
    rows = []
    results = {"options": vars(options), "text": platform.python_version(), "rows": rows}
    for seed in range(options.seeds):
        row, model = measure(seed, parts, options)
        rows.append(row)
    print_table(rows)
    if not options.validation:
        write_results("language", results | environment())
        x = windows(parts[1], CONTEXT)[0][: options.windows]
        limits = dict.fromkeys(("qonnx", "hls4ml"), options.simulated)
        results["codes"] = codes(model, x.float().numpy(), options.executors, limits)
        write_results("language", results | environment())


def _options() -> argparse.Namespace:
    arguments = parser(__doc__)
    arguments.add_argument("--seeds", type=int, default=1)
    arguments.add_argument("--bits", type=int, default=4)
    arguments.add_argument("--steps", type=int, default=2500, help="in float, 32 windows each")
    arguments.add_argument("--more", type=int, default=2000, help="quantized, and longer in float")
    arguments.add_argument("--validation", action="store_true", help="leave the test set alone")
    names = ["torch", "qonnx", "onnxruntime", "hls4ml"]
    arguments.add_argument("--executors", nargs="+", default=names)
    arguments.add_argument("--windows", type=int, default=1000, help="whose codes are compared")
    arguments.add_argument("--simulated", type=int, default=200, help="of them, where that is slow")
    return arguments.parse_args()


if __name__ == "__main__":
    main()
