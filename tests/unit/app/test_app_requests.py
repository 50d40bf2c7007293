"""What a request means once it is parsed."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from sam2_serving.app.reporting import validation_sentence
from sam2_serving.app.requests import SmartToolContext, SmartToolRequest
from sam2_serving.app.smart_tool import prompts_of
from sam2_serving.masks import Box
from sam2_serving.model import Point

CLICK = {"positive": [{"x": 5, "y": 6}], "negative": [{"x": 7, "y": 8}]}


def context(**fields: Any) -> SmartToolContext:
    return SmartToolContext.model_validate({**CLICK, "image_id": 1, **fields})


@pytest.mark.parametrize(
    "corners", [[(2, 3), (10, 20)], [(10, 20), (2, 3)], [(2, 20), (10, 3)], [(10, 3), (2, 20)]]
)
def test_crop_is_inclusive_whatever_the_order(corners: list[tuple[int, int]]) -> None:
    crop = [{"x": x, "y": y} for x, y in corners]
    assert context(crop=crop).crop_box == Box(2, 3, 11, 21)


def test_whole_floats_are_whole_numbers() -> None:
    parsed = context(positive=[{"x": 5.0, "y": 6.0}], image_id=7.0)
    assert (parsed.positive[0].x, parsed.image_id) == (5, 7)
    assert isinstance(parsed.image_id, int)


def test_extra_fields_are_allowed_everywhere() -> None:
    parsed = context(new_field=1, positive=[{"x": 5, "y": 6, "time": 7}])
    assert parsed.positive[0].x == 5


def test_both_names_of_the_local_figure() -> None:
    assert context(local_figure_id="a").local_figure_id == "a"
    assert context(localFigureId="a").local_figure_id == "a"


def test_both_forms_of_the_mask_origin() -> None:
    for origin in ({"x": 3, "y": 4}, [3, 4]):
        mask = context(mask={"data": "x", "origin": origin}).mask
        assert mask is not None
        assert (mask.origin.x, mask.origin.y) == (3, 4)


def test_anything_may_stand_in_a_request_uid() -> None:
    assert context(request_uid={"a": 1}).request_uid == "{'a': 1}"
    assert len(str(context(request_uid="x" * 9999).request_uid)) <= 200


def test_token_of_the_envelope_wins() -> None:
    body = {"context": {**CLICK, "apiToken": "inner"}, "state": None}
    assert SmartToolRequest.model_validate(body).api_token == "inner"
    assert SmartToolRequest.model_validate({**body, "api_token": "outer"}).api_token == "outer"


def test_prompts_of_box_and_clicks() -> None:
    crop = [{"x": -5, "y": 2}, {"x": 99, "y": 30}]
    prompts = prompts_of(context(crop=crop), (50, 40), use_box=True)
    assert prompts.points == (Point(5, 6, True), Point(7, 8, False))
    assert prompts.box == Box(0, 2, 50, 31)
    assert prompts_of(context(crop=crop), (50, 40), use_box=False).box is None
    far = [{"x": 60, "y": 2}, {"x": 99, "y": 30}]
    assert prompts_of(context(crop=far), (50, 40), use_box=True).box is None


def test_sentence_names_the_place_and_never_repeats_what_was_sent() -> None:
    with pytest.raises(ValidationError) as caught:
        SmartToolRequest.model_validate(
            {"context": {"positive": [{"x": "s3cret", "y": 1}], "negative": []}, "api_token": 5}
        )
    sentence = validation_sentence(caught.value.errors())
    assert "context.positive[0].x: must be a whole number" in sentence
    assert "s3cret" not in sentence
