"""What lets two pages work on the same figures: what tells of changes, edits that know theirs."""

from __future__ import annotations

import numpy as np
from workspace_http import Running

from sam2_serving.masks.bitmap import encode_bitmap

Json = dict[str, object]


def _mask(side: int) -> Json:
    mask = np.zeros((20, 20), bool)
    mask[2 : 2 + side, 3 : 3 + side] = True
    (x, y), data = encode_bitmap(mask)  # type: ignore[misc]
    return {"class_id": 1, "origin": {"x": x, "y": y}, "bitmap": data}


def _revision(workspace: Running) -> str:
    return str(workspace.page("GET", "/workspace/api/revision").json()["revision"])


def test_the_revision_is_another_after_a_change_only(
    workspace: Running, image_ids: dict[str, int]
) -> None:
    figures = f"/workspace/api/images/{image_ids['top.png']}/figures"
    first = _revision(workspace)
    assert workspace.page("GET", "/workspace/api/media").ok
    assert workspace.page("GET", figures).json() == []
    assert _revision(workspace) == first
    figure = workspace.page("POST", figures, json=_mask(4)).json()
    second = _revision(workspace)
    assert second != first
    assert workspace.page("DELETE", f"/workspace/api/figures/{figure['id']}").ok
    assert _revision(workspace) not in (first, second)


def test_an_edit_of_what_was_changed_meanwhile_is_refused(
    workspace: Running, image_ids: dict[str, int]
) -> None:
    figures = f"/workspace/api/images/{image_ids['top.png']}/figures"
    figure = workspace.page("POST", figures, json=_mask(4)).json()
    path = f"/workspace/api/figures/{figure['id']}"
    based = {"based_on": figure["updatedAt"]}
    first = workspace.page("PUT", path, json={**_mask(5), **based})
    assert first.ok
    refused = workspace.page("PUT", path, json={**_mask(6), **based})
    assert refused.status_code == 409
    assert "changed this figure meanwhile" in refused.json()["message"]
    assert workspace.page("GET", figures).json()[0]["area"] == "25"
    now = {"based_on": first.json()["updatedAt"]}
    assert workspace.page("PUT", path, json={**_mask(6), **now}).ok
    assert workspace.page("PUT", path, json=_mask(7)).ok, "who does not say does not mind"
