"""From our graph to a plan of FINN's nodes, channels last, integers throughout."""

from brevitas_quantizers.fixed_point.discover import import_modules

import_modules(__name__)  # handlers announce themselves
