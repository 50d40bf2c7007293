"""Build the app; started by `uvicorn serve.main:m.app` (see config.json)."""

import gc

# Millions of objects are made by imports and stay: looking through them again and again takes an
# eighth of the start, and they need not be looked at later either.
gc.disable()

from sam2_serving.app.app import SegmentAnything2  # noqa: E402

gc.freeze()
gc.enable()

m = SegmentAnything2()
m.serve()
app = m.app
