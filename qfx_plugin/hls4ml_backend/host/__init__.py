"""hls4ml extended: the backend, its layers, its passes. The parts that hls4ml calls."""
