"""The page's own API: which media a person is through with."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter, Depends
from sqlalchemy import delete, select

from sam2_serving.workspace.api.strict import Id, Strict
from sam2_serving.workspace.context import Here
from sam2_serving.workspace.security import OfPage, caller_of_page
from sam2_serving.workspace.store import Store
from sam2_serving.workspace.tables import DoneMark

router = APIRouter(prefix="/workspace/api", dependencies=[Depends(caller_of_page)])

Kinds = Literal["images", "videos", "volumes", "photos"]


class Wanted(Strict):
    """Whether a medium is done."""

    done: bool


@router.put("/{kinds}/{number}/done")
def mark_done(kinds: Kinds, number: Id, body: Wanted, caller: OfPage, here: Here) -> Wanted:
    """Mark a medium as done, or as not done; it is on the disk when the answer comes."""
    if kinds == "photos":
        here.photo(caller, number)
    else:
        here.medium(caller, number, kinds.removesuffix("s"))
    of_photo = kinds == "photos"
    with here.store.writing() as session:
        same = (DoneMark.of_photo == of_photo, DoneMark.number == number)
        known = session.scalars(select(DoneMark).where(*same)).first()
        if known is None and body.done:
            session.add(DoneMark(of_photo=of_photo, number=number))
        elif known is not None and not body.done:
            session.execute(delete(DoneMark).where(*same))
    return body


def done_media(store: Store) -> set[tuple[bool, int]]:
    """Return what is done: whether it is a photo, which are numbered apart, and its number."""
    with store.reading() as session:
        return {(one.of_photo, one.number) for one in session.scalars(select(DoneMark))}
