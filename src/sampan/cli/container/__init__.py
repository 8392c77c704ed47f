"""From the flags of `run` and `create` to the one object that creates a container."""
