"""A note on disk for each running job, so that one that was cut is reported at the next start."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from supervisely.sly_logger import logger


@dataclass(frozen=True)
class JobNote:
    """What is said of a job that was cut; no token is in it.

    Attributes:
        uuid: of the job.
        safe: the last frame that was stored, or offered to the client; None: none was.
    """

    uuid: str
    route: str
    video_id: int
    track_id: int | str
    start: int
    safe: int | None = None

    def sentence(self) -> str:
        """Say it to whoever asks for the job."""
        safe = "nothing was tracked" if self.safe is None else f"frame {self.safe} was the last"
        return (
            f"The app was restarted while this job tracked video {self.video_id} from frame "
            f"{self.start} on: {safe}. Track again from there."
        )


class Journal:
    """Notes in a folder, one file a job. Each file has one writer."""

    def __init__(self, folder: Path) -> None:
        """Read and remove what an earlier run left.

        Attributes:
            cut: the jobs that did not end, by uuid.
        """
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.cut: dict[str, JobNote] = {}
        for file in sorted(folder.glob("*")):
            try:
                note = JobNote(**json.loads(file.read_text()))
            except (OSError, ValueError, TypeError):
                logger.warning("A note of an earlier job cannot be read", extra={"file": file.name})
            else:
                self.cut[note.uuid] = note
                logger.warning(
                    "A tracking job was cut",
                    extra={
                        "uuid": note.uuid,
                        "track_id": ascii(note.track_id)[:200],
                        "reason": note.sentence(),
                    },
                )
            file.unlink(missing_ok=True)

    def write(self, note: JobNote) -> None:
        """Keep a note in place of the job's earlier one; what cannot be written is only logged."""
        file = self._file(note.uuid)
        try:
            new = file.with_suffix(".new")
            new.write_text(json.dumps(asdict(note)))
            os.replace(new, file)
        except OSError as error:
            logger.warning("A note of a job cannot be kept", exc_info=error)

    def remove(self, uuid: str) -> None:
        """The job has ended."""
        self._file(uuid).unlink(missing_ok=True)

    def _file(self, uuid: str) -> Path:
        return self._folder / f"{uuid}.json"
