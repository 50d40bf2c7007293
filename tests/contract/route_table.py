"""The app's own table of routes, so that a new route is tested without being named here."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory

from fastapi.routing import APIRoute
from pydantic import BaseModel
from supervisely.app.fastapi import _MainServer

from sam2_serving.app.app import SegmentAnything2
from sam2_serving.settings import ServerSettings


@dataclass(frozen=True)
class Route:
    """A route and what its body must be, if that is a model of ours."""

    path: str
    method: str
    body: type[BaseModel] | None


@lru_cache(maxsize=1)
def routes() -> tuple[Route, ...]:
    """Return the routes of an app without a page; of several of one path, the one that answers."""
    server = _MainServer().get_server()
    with TemporaryDirectory() as folder:
        settings = ServerSettings(data_dir=Path(folder), model="none", disk_store_mb=0)
        SegmentAnything2(settings, headless=True).serve()
    found: dict[tuple[str, str], Route] = {}
    for route in server.routes:
        for method in sorted(getattr(route, "methods", None) or ()):
            key = (route.path, method)  # type: ignore[attr-defined]
            found.setdefault(key, Route(*key, _body_of(route)))
    return tuple(found.values())


def _body_of(route: object) -> type[BaseModel] | None:
    field = route.body_field if isinstance(route, APIRoute) else None
    model = None if field is None else field.field_info.annotation
    return model if isinstance(model, type) and issubclass(model, BaseModel) else None
