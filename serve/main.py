"""Build the app; started by `uvicorn serve.main:m.app` (see config.json)."""

from sam2_serving.app.app import SegmentAnything2

m = SegmentAnything2()
m.serve()
app = m.app
