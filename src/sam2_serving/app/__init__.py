"""The adapter between the platform and the engine: parse, load media, ask, shape the answer."""
