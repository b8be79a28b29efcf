"""Steps of the target finn."""
