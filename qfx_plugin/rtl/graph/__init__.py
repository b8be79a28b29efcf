"""Networks as adder graphs: every constant a part of the circuit."""
