"""The page's own API: where a volume's objects have figures."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends

from sam2_serving.workspace.api.strict import Id
from sam2_serving.workspace.context import Here
from sam2_serving.workspace.security import OfPage, caller_of_page
from sam2_serving.workspace.video_labels import objects_of, slices_of

router = APIRouter(prefix="/workspace/api", dependencies=[Depends(caller_of_page)])


@router.get("/volumes/{volume_id}/objects")
def volume_objects(volume_id: Id, caller: OfPage, here: Here) -> list[dict[str, Any]]:
    """List a volume's objects, with the slices on which they have figures, by plane."""
    volume = here.medium(caller, volume_id, "volume")
    classes = {one.id: one for one in here.store.classes()}
    slices = slices_of(here.store, volume.id)
    return [
        {
            "id": thing.id,
            "classId": thing.class_id,
            "classTitle": classes[thing.class_id].title,
            "color": classes[thing.class_id].color,
            "slices": slices.get(thing.id, {}),
        }
        for thing in objects_of(here.store, [volume.id])
    ]
