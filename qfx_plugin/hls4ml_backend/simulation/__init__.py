"""hls4ml's C simulation: compiled, made faster, called from NumPy."""
