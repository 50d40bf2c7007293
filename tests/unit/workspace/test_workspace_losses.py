"""Where an object of a video was lost, by what the app said and by what is stored."""

from __future__ import annotations

from sam2_serving.workspace.losses import Loss, loss_said, lost_frames
from sam2_serving.workspace.video_labels import Run

DRAWN = Run(4, 4, human=True)
TRACKED = Run(5, 9, human=False)


def test_a_sentence_of_the_app() -> None:
    assert loss_said("Object 7 is lost from frame 12 on.", 1, 20) == Loss(7, 12, 1, 20)
    assert loss_said("Object 7 is lost from frame 12 on.", -1, 3) == Loss(7, 12, -1, 3)
    assert loss_said("The video is short.", 1, 20) is None


def test_a_track_that_ended_early() -> None:
    assert lost_frames([DRAWN, TRACKED], [Loss(7, 10, 1, 20)]) == [(10, 20)]
    assert lost_frames([DRAWN, TRACKED, Run(15, 15, human=True)], [Loss(7, 10, 1, 20)]) == [
        (10, 14)
    ]
    assert lost_frames([Run(3, 8, human=False), Run(9, 9, human=True)], [Loss(7, 2, -1, 0)]) == [
        (0, 2)
    ]


def test_what_a_person_did_since_counts() -> None:
    said = [Loss(7, 10, 1, 20)]
    assert lost_frames([DRAWN, TRACKED, Run(10, 10, human=True)], said) == []
    assert lost_frames([DRAWN, Run(5, 6, human=False)], said) == []


def test_gaps() -> None:
    """A gap in a track is a loss; frames between two tracks, or two drawings, are none."""
    again = Run(12, 14, human=False)
    assert lost_frames([DRAWN, TRACKED, again], []) == [(10, 11)]
    assert lost_frames([DRAWN, TRACKED, again], [Loss(7, 10, 1, 20)]) == [(10, 11)]
    assert (
        lost_frames([DRAWN, TRACKED, Run(12, 12, human=True), Run(13, 14, human=False)], []) == []
    )
