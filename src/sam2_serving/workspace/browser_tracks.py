"""The page's own API: tracking, and where a video's objects have figures."""

from __future__ import annotations

import uuid
from collections import defaultdict
from dataclasses import asdict
from typing import Any, Literal

from fastapi import APIRouter, Depends, Query
from fastapi.responses import JSONResponse, Response
from pydantic import Field
from starlette.concurrency import run_in_threadpool

from sam2_serving.workspace.answers import BadRequest, NotFound
from sam2_serving.workspace.api.strict import Id, Strict
from sam2_serving.workspace.context import Caller, Here, Workspace
from sam2_serving.workspace.losses import lost_frames
from sam2_serving.workspace.places import frame_place
from sam2_serving.workspace.proxy import call_app, encode_json
from sam2_serving.workspace.security import OfPage, caller_of_page
from sam2_serving.workspace.tables import Figure
from sam2_serving.workspace.tracks import Asked
from sam2_serving.workspace.video_labels import figures_from, objects_of, runs_of

router = APIRouter(prefix="/workspace/api", dependencies=[Depends(caller_of_page)])


class TrackWish(Strict):
    """Which figures to follow, and how far.

    Attributes:
        objectIds: follow these objects' figures on the frame; None: all.
        figureIds: follow these figures; None: all.
    """

    frame: int = Field(ge=0)
    frames: int = Field(ge=1, le=1_000_000)
    direction: Literal["forward", "backward"]
    objectIds: list[int] | None = None
    figureIds: list[int] | None = None


@router.post("/videos/{video_id}/track")
async def track(video_id: Id, body: TrackWish, caller: OfPage, here: Here) -> Response:
    """Ask the app to follow figures, as the platform's timeline does (contract 3.3).

    Returns:
        `{"trackId"}`, or what the app answers when it refuses.
    """
    figures = await run_in_threadpool(_chosen, video_id, body, caller, here)
    track_id = str(uuid.uuid4())
    object_ids = [figure.object_id for figure in figures]
    envelope = {
        "context": {
            "videoId": video_id,
            "trackId": track_id,
            "frameIndex": body.frame,
            "frames": body.frames,
            "direction": body.direction,
            "figureIds": [figure.id for figure in figures],
            "objectIds": object_ids,
        },
        "state": {},
        "api_token": caller.token,
        "server_address": here.settings.public_address,
    }
    followed = tuple(dict.fromkeys(one for one in object_ids if one is not None))
    # Before the app is asked: its first message may be here before its answer.
    here.tracks.begin(track_id, video_id, Asked(body.frame, body.frames, body.direction, followed))
    headers = {"content-type": "application/json"}
    answer = await call_app(here, "track", encode_json(envelope), headers=headers)
    if answer.status_code >= 400:
        here.tracks.forget(track_id)
        return answer
    if answer.background is not None:
        await answer.background()
    return JSONResponse({"trackId": track_id})


@router.get("/videos/{video_id}/tracks")
def tracks(video_id: Id, caller: OfPage, here: Here) -> list[dict[str, Any]]:
    """List a video's runs of tracking since the start of the workspace, the newest first."""
    return here.tracks.of_video(here.medium(caller, video_id, "video").id)


@router.get("/tracks/{track_id}/messages")
def messages(track_id: str, caller: OfPage, here: Here) -> list[dict[str, Any]]:
    """List what the app said about a run of tracking, the oldest first."""
    _check_track(track_id, caller, here)
    return [asdict(message) for message in here.tracks.messages(track_id)]


@router.post("/tracks/{track_id}/stop")
def stop(track_id: str, caller: OfPage, here: Here) -> dict[str, Any]:
    """Let the app's next message about a run of tracking be answered with stop."""
    _check_track(track_id, caller, here)
    return {"trackId": track_id, "state": here.tracks.ask_to_stop(track_id)}


@router.get("/videos/{video_id}/objects")
def objects(video_id: Id, caller: OfPage, here: Here) -> list[dict[str, Any]]:
    """List a video's objects, with the frames on which they have figures or were lost."""
    video = here.medium(caller, video_id, "video")
    classes = {one.id: one for one in here.store.classes()}
    runs = defaultdict(list, runs_of(here.store, video.id))
    losses = here.tracks.losses(video.id)
    return [
        {
            "id": thing.id,
            "classId": thing.class_id,
            "classTitle": classes[thing.class_id].title,
            "color": classes[thing.class_id].color,
            "frames": [
                {"from": run.first, "to": run.last, "human": run.human} for run in runs[thing.id]
            ],
            "lost": [
                {"from": first, "to": last}
                for first, last in lost_frames(
                    runs[thing.id], [loss for loss in losses if loss.object_id == thing.id]
                )
            ],
        }
        for thing in objects_of(here.store, [video.id])
    ]


@router.get("/videos/{video_id}/objects/{object_id}/figures")
def figures_of_object(
    video_id: Id,
    object_id: Id,
    caller: OfPage,
    here: Here,
    first: int = Query(0, ge=0),
) -> list[int]:
    """List the ids of an object's figures from a frame on, in the order of frames."""
    video = here.medium(caller, video_id, "video")
    return figures_from(here.store, video.id, object_id, first)


def _chosen(video_id: int, wish: TrackWish, caller: Caller, here: Workspace) -> list[Figure]:
    video = here.medium(caller, video_id, "video")
    place = frame_place(video, wish.frame)
    found = [one for one in here.store.figures([video.id], place.key) if one.object_id is not None]
    for field, ids, there in (
        ("objectIds", wish.objectIds, {one.object_id for one in found}),
        ("figureIds", wish.figureIds, {one.id for one in found}),
    ):
        missing = [number for number in ids or [] if number not in there]
        if missing:
            raise BadRequest(f"{field}: {missing[0]} has no figure on frame {wish.frame}.")
    chosen = [
        one
        for one in found
        if (wish.objectIds is None or one.object_id in wish.objectIds)
        and (wish.figureIds is None or one.id in wish.figureIds)
    ]
    if not chosen:
        raise BadRequest(f"There is no figure to follow on frame {wish.frame}.")
    return chosen


def _check_track(track_id: str, caller: Caller, here: Workspace) -> None:
    video_id = here.tracks.video_of(track_id)
    if video_id is None:
        raise NotFound(f"There is no track {track_id[:200]!r}.")
    here.medium(caller, video_id, "video")
