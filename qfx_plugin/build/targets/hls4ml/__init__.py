"""The steps of the target `hls4ml`; their order stands in `target.py`."""
