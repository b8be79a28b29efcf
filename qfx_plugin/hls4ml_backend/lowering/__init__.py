"""From our graph to a plan of hls4ml's layers, every precision decided."""
