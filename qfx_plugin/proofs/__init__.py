"""Formal proofs: the Verilog equals the intermediate model for all inputs, not for samples.

    proofs = prove("model.onnx", limit_s=60)
    print(proofs)                  # node by node, and the whole network
    proofs.raise_if_refuted()

`circuit` and `definition` write the model's operations as Verilog of their own, `equality` sets
that beside the Verilog of a target, `solver` decides by SAT in Yosys.
"""

from .network import prove
from .result import Counterexample, NetworkProofs, Proof

__all__ = ["Counterexample", "NetworkProofs", "Proof", "prove"]
