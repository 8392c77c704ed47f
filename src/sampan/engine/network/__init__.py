"""Use cases of networks: what users ask of them, decided here and done by the room `sampan.network`."""
