"""HGQ2 on the splits of cost_front.py: accuracy against LUTs, at several strengths of its penalty.

    python benchmarks/cost_front.py --data digits --split build/digits.npz
    python -m venv build/hgq2
    build/hgq2/bin/pip install hgq2==0.2.0 alkaid==0.8.2 'jax[cpu]'
    build/hgq2/bin/python benchmarks/cost_peer.py build/digits.npz --name digits

Runs in an environment of its own: HGQ2 trains with Keras. The recipe is that of its users: weights
`kbi` with `SAT_SYM`, activations `kif` with `WRAP`, a width for every one of them, Adam, and a beta
that rises to its end (`--ramp log`; `late` holds it for the last 30 % of the epochs, `const` has it
from the start). `--alpha` is the share of a teacher in the loss, the one of cost_front.py.

LUTs are alkaid's own count with the settings of `qfx_plugin`, the cast of the input being the
host's (`alkaid`), and with that cast (`alkaid with input cast`). `--programs` keeps the adder
graphs, for cost_yosys.py. Rows that the results have already are not run again.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")

import keras
import numpy as np
from alkaid.converter import trace_model
from alkaid.trace import FVArray, HWConfig, trace
from common import RESULTS, parser, write_results
from hgq.config import LayerConfigScope, QuantizerConfigScope
from hgq.layers import QDense
from hgq.utils import trace_minmax
from hgq.utils.sugar import BetaScheduler, PieceWiseSchedule

FIRST_BETA, SECOND_BETA = 1e-7, 1e-6
HARDWARE = HWConfig(1, 65_534, -1)  # as qfx_plugin
SOLVER = {"hard_dc": 2}


def main() -> None:
    """Train, write `benchmarks/results/cost_peer[_validation].json`."""
    arguments = parser(__doc__)
    arguments.add_argument("split", type=Path)
    arguments.add_argument("--name", required=True)
    arguments.add_argument("--betas", type=float, nargs="+", default=[1e-5, 3e-5, 1e-4, 3e-4])
    arguments.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    arguments.add_argument("--epochs", type=int, default=500)
    arguments.add_argument("--alphas", type=float, nargs="+", default=[0.0])
    arguments.add_argument("--ramps", nargs="+", default=["log"], choices=["log", "late", "const"])
    arguments.add_argument("--rates", nargs="+", default=["const"], choices=["const", "cosine"])
    arguments.add_argument("--temperature", type=float, default=3.0)
    arguments.add_argument("--programs", type=Path)
    arguments.add_argument("--validation", action="store_true", help="the split is one for choices")
    options = arguments.parse_args()
    data = dict(np.load(options.split))
    name = "cost_peer_validation" if options.validation else "cost_peer"
    rows = _known(name)
    done = {_key(row) for row in rows}
    for alpha in options.alphas:
        for ramp in options.ramps:
            for rate in options.rates:
                for beta in options.betas:
                    for seed in options.seeds:
                        wanted = {"alpha": alpha, "ramp": ramp, "rate": rate, "beta": beta}
                        wanted |= {"data": options.name, "epochs": options.epochs, "seed": seed}
                        if _key(wanted) in done:
                            continue
                        rows.append(wanted | run(data, wanted, options))
                        print(rows[-1], flush=True)
                        versions = {"keras": keras.__version__, "backend": keras.backend.backend()}
                        write_results(name, {"rows": rows, "versions": versions})


def _known(name: str) -> list[dict[str, Any]]:
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8"))["rows"] if path.exists() else []


def _key(row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(row[key] for key in ("data", "alpha", "ramp", "rate", "beta", "epochs", "seed"))


def run(data: dict[str, Any], wanted: dict[str, Any], options: Any) -> dict[str, Any]:
    """One network: trained, traced, counted, and its adder graph run on the test data."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(wanted["seed"])
    start = time.process_time()
    model = network(data["sizes"])
    fit(model, data, wanted, options.temperature)
    ebops = trace_minmax(model, data["x"], verbose=0)
    seconds = time.process_time() - start
    whole = trace(*trace_model(model, HARDWARE, SOLVER))
    inner = trace(*trace_model(model, HARDWARE, SOLVER, inputs=(_cast_inputs(model),)))
    outputs = whole.predict(data["x_test"].astype(np.float64), n_threads=1)
    expected = np.asarray(model.predict(data["x_test"], verbose=0))
    if options.programs is not None:
        options.programs.mkdir(parents=True, exist_ok=True)
        names = (f"{key}{value}" for key, value in wanted.items())
        inner.save(options.programs / f"{options.name}_{'_'.join(names)}.json")
    return {
        "accuracy": round(100 * float((outputs.argmax(1) == data["y_test"]).mean()), 2),
        "alkaid": round(float(inner.cost), 1),
        "alkaid with input cast": round(float(whole.cost), 1),
        "ebops": float(ebops),
        "different from Keras": int((outputs != expected).sum()),
        "processor seconds": round(seconds, 1),
    }


def network(sizes: Any) -> keras.Model:
    """An MLP of HGQ2 layers in their usual formats."""
    with (
        QuantizerConfigScope(place="all", default_q_type="kbi", overflow_mode="SAT_SYM"),
        QuantizerConfigScope(place="datalane", default_q_type="kif", overflow_mode="WRAP"),
        LayerConfigScope(enable_ebops=True, beta0=FIRST_BETA),
    ):
        first, *hidden, last = (int(size) for size in sizes)
        layers = [QDense(size, activation="relu") for size in hidden]
        return keras.Sequential([keras.layers.Input((first,)), *layers, QDense(last)])


def fit(
    model: keras.Model, data: dict[str, Any], wanted: dict[str, Any], temperature: float
) -> None:
    """Train with a beta that rises, and with the share of the teacher that is wanted."""
    epochs, beta, alpha = wanted["epochs"], wanted["beta"], wanted["alpha"]
    first = max(1, min(10, epochs // 10))
    plan = {
        "log": [
            (0, FIRST_BETA, "constant"),
            (first, SECOND_BETA, "log"),
            (epochs, beta, "constant"),
        ],
        "late": [
            (0, FIRST_BETA, "constant"),
            (first, SECOND_BETA, "log"),
            (int(0.7 * epochs), beta, "constant"),
        ],
        "const": [(0, beta, "constant")],
    }[wanted["ramp"]]
    batch = int(data["batch"])
    rate: Any = 5e-3
    if wanted["rate"] == "cosine":
        steps = epochs * -(-len(data["x"]) // batch)
        rate = keras.optimizers.schedules.CosineDecay(rate, steps, alpha=0.02)
    classes = int(data["sizes"][-1])
    labels = np.eye(classes, dtype=np.float32)[data["y"]]

    def loss(targets: Any, logits: Any) -> Any:
        hard = keras.losses.categorical_crossentropy(targets[:, :classes], logits, from_logits=True)
        if alpha == 0:
            return hard
        teacher = keras.ops.softmax(targets[:, classes:] / temperature)
        soft = keras.losses.categorical_crossentropy(
            teacher, logits / temperature, from_logits=True
        )
        return (1 - alpha) * hard + alpha * temperature**2 * soft

    model.compile(keras.optimizers.Adam(rate), loss)
    targets = np.concatenate([labels, data["teacher"].astype(np.float32)], axis=1)
    schedule = BetaScheduler(PieceWiseSchedule(plan))
    model.fit(data["x"], targets, batch_size=batch, epochs=epochs, verbose=0, callbacks=[schedule])


def _cast_inputs(model: keras.Model) -> Any:
    """The inputs as the first layer's quantizer gives them: the host casts."""
    kif = (keras.ops.convert_to_numpy(part) for part in model.layers[0].iq.quantizer.kif)
    k, i, f = (np.asarray(part).reshape(-1).astype(int) for part in kif)
    live = k + i + f > 0
    k, i, f = (np.where(live, part, 0) for part in (k, i, f))
    return FVArray.from_kif(k, i, f, HARDWARE, solver_options=SOLVER)


if __name__ == "__main__":
    main()
