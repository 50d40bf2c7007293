"""What the evaluation counts: right answers give full marks, wrong ones do not."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from evaluate_nano import automatic, clicks, prompts, report, tracking
from evaluate_nano.automatic import Finds, judge
from evaluate_nano.figures import (
    SetFigures,
    by_size,
    find_figures,
    prompt_figures,
    track_figures,
)
from evaluate_nano.heldout import Followed, Object, clips, iou, return_clips, scenes
from evaluate_nano.targets import TARGETS, verdicts
from sam2_serving.model import Prediction

SIDE = 64


def disc(x, y, radius):
    row, column = np.mgrid[:SIDE, :SIDE]
    return (column - x) ** 2 + (row - y) ** 2 <= radius**2


def saying(mask, predicted_iou=1.0):
    logits = torch.from_numpy(np.where(mask, 5.0, -5.0).astype(np.float32))[None]
    return Prediction(logits, predicted_iou)


def record_of(answers):
    way = dict.fromkeys(prompts.WAYS, answers)
    floods = dict.fromkeys(clicks.TOLERANCES, 0.5)
    return prompts.Record("medium", way, 1.0, 0.5, floods)


def asked(found, mask, predicted_iou=1.0):
    return prompts.ask_about(
        lambda given, before: saying(found, predicted_iou), mask, np.random.default_rng(0)
    )


def test_perfect_masks_get_full_marks_and_leave_nothing_to_obey():
    mask = disc(30, 30, 12)
    answers = asked(mask, mask)
    assert (answers.click, answers.box, answers.three) == (1.0, 1.0, 1.0)
    assert answers.obeyed == {"first": [True], "in_box": [True]}
    assert answers.said == [(1.0, 1.0)] * 3


def test_a_mask_that_is_moved_by_a_pixel_gets_less_and_obeys_no_correction():
    mask = disc(30, 30, 12)
    answers = asked(np.roll(mask, 1, axis=1), mask, predicted_iou=0.5)
    assert 0.8 < answers.click == answers.three < 1.0
    corrections = answers.obeyed.get("positive", []) + answers.obeyed.get("negative", [])
    assert corrections == [False, False]
    figures = prompt_figures([record_of(answers)]).ways["single"]
    assert figures.said_error == pytest.approx(answers.click - 0.5, abs=1e-4)
    assert figures.positive.share < 1.0 or figures.negative.share < 1.0


def test_a_filled_box_disobeys_a_negative_click_in_it():
    mask = disc(30, 30, 12)
    answers = asked(clicks.filled_box(mask), mask)
    assert answers.box == pytest.approx(mask.sum() / 25**2)
    assert answers.obeyed["in_box"] == [False]
    assert answers.out_before == [False]
    assert answers.obeyed["negative"] == [False, False]


def test_each_correction_is_told_the_answer_that_it_corrects():
    mask, found = disc(30, 30, 12), disc(30, 30, 6)
    seen = []

    def ask(given, before):
        seen.append((given, before))
        return saying(found)

    prompts.ask_about(ask, mask, np.random.default_rng(0))
    dialogue = seen[:3]
    assert [len(given.points) for given, _ in dialogue] == [1, 2, 3]
    assert [before is None for _, before in dialogue] == [True, False, False]
    assert all(mask[int(p.y), int(p.x)] and p.positive for p in dialogue[2][0].points)
    box, click_in_it = seen[3:]
    assert box[1] is None
    assert click_in_it[0].box == box[0].box
    assert click_in_it[1] is not None


def test_the_trivial_answers():
    image = np.full((SIDE, SIDE, 3), 200, np.uint8)
    mask = disc(20, 20, 9)
    image[mask] = (40, 90, 160)
    flooded = clicks.flood(image, (20, 20), 16)
    assert iou(flooded, mask) > 0.95  # its tips are smoothed away
    [found] = clicks.flood_everything(image, 16, 16, 50)
    assert np.array_equal(found, flooded)


def things(*masks, bodies=()):
    image = np.zeros((SIDE, SIDE, 3), np.uint8)
    padded = [*bodies, *([None] * (len(masks) - len(bodies)))]
    return [Object(image, mask, body) for mask, body in zip(masks, padded, strict=True)]


def found(masks, wanted):
    finds = Finds()
    judge(finds, masks, wanted)
    return find_figures(finds)


def test_everything_found_once_is_perfect():
    a, b = disc(15, 15, 8), disc(45, 40, 10)
    figures = found([b, a], things(a, b))
    assert (figures.recall.share, figures.precision.share) == (1.0, 1.0)
    assert found([], things(a, b)).recall.share == 0.0


def test_second_masks_and_the_background_cost_precision_and_add_no_recall():
    a, b = disc(15, 15, 8), disc(45, 40, 10)
    figures = found([a, disc(16, 15, 8), ~(a | b)], things(a, b))
    assert figures.recall.share == 0.5
    assert figures.precision.share == pytest.approx(1 / 3, abs=1e-4)
    assert figures.again.share == 0.5  # the copy, and not the background


def test_less_than_half_of_a_thing_does_not_find_it():
    a = disc(20, 20, 10)
    left = a & (np.mgrid[:SIDE, :SIDE][1] < 19)
    assert found([left], things(a)).recall.share == 0.0
    assert found([a | disc(20, 20, 12)], things(a)).recall.share == 1.0


def test_a_whole_without_its_part_is_right_but_is_not_the_whole():
    whole, part = disc(30, 30, 20), disc(30, 30, 16)
    body = whole & ~part  # a ring of well under half
    wanted = things(whole, part, bodies=(body,))
    figures = found([body, part], wanted)
    assert figures.precision.share == 1.0
    assert figures.recall.share == 0.5
    everything = found([whole, body, part], wanted)
    assert (everything.recall.share, everything.precision.share) == (1.0, 1.0)


def film():
    """Shows on 4 frames, is gone for 2, and is back for 4."""
    frames = np.stack([disc(10 + 3 * t, 30, 8) for t in range(10)])
    frames[4:6] = False
    return frames


def test_a_perfect_tracker_gets_full_marks():
    track = tracking.score(film(), film())
    assert track.ious == [1.0] * 7
    assert (track.absent, track.lost) == ([True] * 2, [False] * 7)
    assert track.returns == [True]


def test_a_tracker_that_says_absent_always_is_right_only_where_nothing_is():
    track = tracking.score(np.zeros_like(film()), film())
    figures = track_figures([track], [])
    assert figures.absent.share == 1.0
    assert (figures.lost.share, figures.tracked.mean, figures.found_again.share) == (1.0, 0.0, 0.0)


def test_a_mask_that_lags_or_is_copied_gets_less():
    truth = film()
    lagging = np.roll(truth, 1, axis=2)
    assert 0.8 < float(np.mean(tracking.score(lagging, truth).ious)) < 1.0
    copied = tracking.score(np.broadcast_to(truth[0], truth.shape), truth)
    assert copied.absent == [False, False]
    assert copied.returns == [False]


def test_a_return_begins_with_a_gap_and_lasts_three_frames():
    def ends(*sizes):
        return tracking.returns(np.array(sizes))

    assert ends(90, 90, 90, 90) == []
    assert ends(90, 0, 90, 90) == []
    assert ends(90, 0, 90, 90, 90, 90) == [[4, 5]]
    assert ends(90, 0, 9, 90, 90, 90, 0, 0, 90, 90, 90) == [[5], [10]]


def test_targets_are_met_at_their_limit_and_missed_below_it():
    assert len(TARGETS) == 12
    for target in TARGETS:
        for difficulty in ("easy", "hard"):
            limit = target.limit(difficulty)
            worse = 1e-6 if target.at_most else -1e-6
            assert target.met(difficulty, limit)
            assert not target.met(difficulty, limit + worse)


def test_one_setting_that_misses_is_a_miss_and_what_was_not_measured_is_said():
    mask = disc(30, 30, 12)
    good, bad = asked(mask, mask), asked(np.roll(mask, 4, axis=1), mask)
    record = record_of(good)
    record.answers["single"] = bad
    figures = SetFigures(prompts=prompt_figures([record]))
    judged = {v.target.name: v.met for v in verdicts({"easy": figures})}
    assert judged["3 clicks with corrections"] is False
    assert "automatic masks, precision" not in judged
    text = report.targets({"easy": figures})
    assert "not measured" in text
    assert "**missed**" in text
    figures = SetFigures(prompts=prompt_figures([record_of(good)]))
    judged = {v.target.name: v.met for v in verdicts({"easy": figures})}
    assert judged["3 clicks with corrections"] is True


def test_the_sets_have_what_is_promised():
    for difficulty in ("easy", "hard"):
        some = list(scenes(difficulty, 8))
        assert sum(len(scene) for scene in some) >= 8
        [back] = return_clips(difficulty, 1, 30)
        present = back.masks.any(axis=(2, 3))
        assert present[0].all()
        assert present[-1].all()
        assert not present.all(axis=0).any()


def test_nano_is_asked_tracked_and_reported(nano):
    """One scene and one short clip through the real code, as far as the tables."""
    records = prompts.measure(nano, "easy", 1)
    figures = prompt_figures(records)
    assert figures.ways["single"].box == figures.ways["two_pass"].box
    assert figures.oracle.mean >= figures.ways["single"].click.mean
    [clip] = clips("easy", 1, 3)
    clip = Followed(clip.frames, clip.masks[:, :1])
    masks = tracking.follow(nano, clip.frames, clip.masks[0])
    assert np.array_equal(masks[0], clip.masks[0])
    track = tracking.score(masks[:, 0], clip.masks[:, 0])
    assert min(track.ious) > 0.5
    finds = Finds()
    automatic.judge(finds, [clip.masks[0, 0]], things(clip.masks[0, 0]))
    tracked = track_figures([track], [])
    easy = SetFigures(
        prompts=figures,
        prompts_by_size=by_size(records, figures.tolerance),
        found=find_figures(finds),
        found_trivial=find_figures(finds),
        clips=1,
        tracked=tracked,
        copied=tracked,
    )
    text = report.markdown({"easy": easy}, None)
    assert f"| objects | {len(records)} |" in text
    assert "| automatic masks, precision | >= 0.900 | 1.000 | met |" in text
