"""The steps of the target `hls4ml`; their order stands in `hls4ml_target.py`."""
