"""HGQ2's attention on the task of vit.py: accuracy, and what its own hls4ml conversion computes.

    build/hgq2/bin/pip install hgq2==0.2.0 alkaid==0.8.2 'jax[cpu]' hls4ml==1.3.0
    build/hgq2/bin/python benchmarks/vit_peer.py <folder of MNIST's IDX files>

Runs in an environment of its own, as cost_peer.py does. One block of HGQ2 layers on 16 patches of
7 x 7 pixels: QEinsumDense, QMultiHeadAttention with a way around it, the mean of all tokens, ten
classes; every quantizer begins with its default width and learns it. hls4ml converts with
`bit_exact`, and its C++ is compared with Keras output by output. Its own count of cost is EBOPs.
What stops is kept with its reason, in `benchmarks/results/vit_peer.json`.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")

import keras
import numpy as np
from common import parser, write_results
from hgq.config import LayerConfigScope, QuantizerConfigScope
from hgq.layers import QAdd, QDense, QEinsumDense, QMultiHeadAttention
from hgq.utils import trace_minmax

TOKENS, PATCH, WIDTH, HEADS = 16, 49, 16, 2


def main() -> None:
    """Train, convert, compare; write `benchmarks/results/vit_peer.json`."""
    arguments = parser(__doc__)
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("--steps", type=int, default=600)
    arguments.add_argument("--samples", type=int, default=500, help="that hls4ml computes")
    options = arguments.parse_args()
    keras.utils.set_random_seed(0)
    x, y, x_test, y_test = (
        part for name in ("train", "t10k") for part in load(options.folder, name)
    )
    start = time.process_time()
    model = network()
    model.compile(
        keras.optimizers.Adam(3e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    count = 100 * options.steps
    picked = np.random.default_rng(0).permutation(len(x))[:count]
    model.fit(x[picked], y[picked], batch_size=100, epochs=1, verbose=0)
    ebops = trace_minmax(model, x[:2000], verbose=0)
    logits = np.asarray(model.predict(x_test, verbose=0))
    row: dict[str, Any] = {
        "network": f"{TOKENS} tokens, width {WIDTH}, {HEADS} heads, 1 block",
        "steps": options.steps,
        "accuracy": round(100 * float((logits.argmax(1) == y_test).mean()), 2),
        "ebops": float(ebops),
        "seconds": round(time.process_time() - start),
    }
    print(row, flush=True)
    row |= converted(model, x_test[: options.samples], logits[: options.samples])
    print(row, flush=True)
    write_results("vit_peer", {"rows": [row], "versions": {"hgq2": "0.2.0", "hls4ml": "1.3.0"}})


def network() -> keras.Model:
    """One block of attention in the usual formats of HGQ2."""
    with (
        QuantizerConfigScope(place="all", default_q_type="kbi", overflow_mode="SAT_SYM"),
        QuantizerConfigScope(place="datalane", default_q_type="kif", overflow_mode="WRAP"),
        LayerConfigScope(enable_ebops=True, beta0=1e-7),
    ):
        entry = keras.layers.Input((TOKENS, PATCH))
        x = QEinsumDense("btp,pw->btw", (TOKENS, WIDTH), bias_axes="tw")(entry)
        mixed = QMultiHeadAttention(HEADS, WIDTH // HEADS)(x, x)
        x = QAdd()([x, mixed])
        x = QEinsumDense("btw,wh->bth", (TOKENS, WIDTH), bias_axes="h", activation="relu")(x)
        x = keras.layers.Flatten()(x)
        return keras.Model(entry, QDense(10)(x))


def converted(model: keras.Model, x: np.ndarray, logits: np.ndarray) -> dict[str, Any]:
    """Outputs of hls4ml's C++ that are those of Keras; or why there are none."""
    try:
        from hls4ml.converters import convert_from_keras_model
        from hls4ml.converters.keras_v3 import layer_handlers

        for name, handler in list(layer_handlers.items()):  # HGQ2 0.2.0 has layers elsewhere
            layer_handlers.setdefault(name.rpartition(".")[2], handler)
        with tempfile.TemporaryDirectory() as folder:
            design = convert_from_keras_model(
                model, output_dir=folder, backend="Vitis", io_type="io_parallel"
            )
            design.compile()
            found = np.asarray(design.predict(np.ascontiguousarray(x, dtype=np.float32)))
    except Exception as error:  # noqa: BLE001 whatever stops it is the result
        return {"hls4ml": f"{type(error).__name__}: {error}".splitlines()[0][:300]}
    equal = found.reshape(logits.shape) == logits
    return {
        "outputs": int(equal.size),
        "outputs right": int(equal.sum()),
        "classes": len(logits),
        "classes right": int((found.reshape(logits.shape).argmax(1) == logits.argmax(1)).sum()),
    }


def load(folder: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    """(images, 16, 49) patches from 0 to 1, and labels."""
    parts = []
    for kind, head in (("images-idx3", 16), ("labels-idx1", 8)):
        (path,) = folder.rglob(f"{name}-{kind}-ubyte*")
        data = path.read_bytes()
        if path.suffix == ".gz":
            import gzip

            data = gzip.decompress(data)
        parts.append(np.frombuffer(data[head:], dtype=np.uint8))
    x = parts[0].reshape(-1, 4, 7, 4, 7).transpose(0, 1, 3, 2, 4)
    return x.reshape(-1, TOKENS, PATCH).astype(np.float32) / 256, parts[1].astype(np.int32)


if __name__ == "__main__":
    main()
