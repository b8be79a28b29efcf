"""From our graph to a plan of hls4ml's layers, every precision decided."""

from brevitas_quantizers.fixed_point.discover import import_modules

import_modules(__name__)  # handlers announce themselves
