"""Networks as adder graphs: every constant a part of the circuit."""

from brevitas_quantizers.fixed_point.discover import import_modules

import_modules(__name__)  # handlers announce themselves
