"""Build the app; started by `uvicorn serve.main:m.app` (see config.json)."""

import gc

from sam2_serving.cores import leave_cores_to_the_device

# before anything imports torch
leave_cores_to_the_device()

# Imports make hundreds of thousands of objects that stay. To look through them for garbage again
# and again takes an eighth of the start; the youngest are looked through still, but less often.
_usual = gc.get_threshold()
gc.set_threshold(100_000, 50, 1000)

from sam2_serving.app.app import SegmentAnything2  # noqa: E402

gc.freeze()
gc.set_threshold(*_usual)

m = SegmentAnything2()
m.serve()
app = m.app
