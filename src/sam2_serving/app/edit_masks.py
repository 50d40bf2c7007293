"""The masks that edits began with, on disk: the one thing that is kept between requests.

Only the first click of an edit brings the mask (contract, section 3.1), so the later ones need it
from here, after a restart too. What is lost is lost: nothing is ever guessed in its place.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import threading
import uuid
from collections.abc import Collection
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from supervisely.sly_logger import logger

from sam2_serving.masks import decode_bitmap, encode_bitmap

BoolMask = npt.NDArray[np.bool_]

MAX_FILES = 4096
MAX_BYTES = 256 * 2**20


@dataclass(frozen=True)
class EditKey:
    """Names what is edited, and by whom; a person edits a figure once at a time.

    Attributes:
        server: the platform.
        user: hash of the token.
        figure: the client's or the platform's key of the figure.
        picture: what is edited on, without version and window, which may change while a person
            works.
    """

    server: str
    user: str
    figure: str
    picture: str

    @property
    def file_name(self) -> str:
        """A name that nothing of the key can be read from."""
        return hashlib.sha256(json.dumps(astuple(self)).encode()).hexdigest() + ".json"


class EditMasks:
    """Keeps masks as small files; those that were not used for longest go first. Thread-safe."""

    def __init__(
        self, folder: Path, max_files: int = MAX_FILES, max_bytes: int = MAX_BYTES
    ) -> None:
        """Use a folder.

        Args:
            folder: made at the first mask.
            max_files: more masks are not kept.
            max_bytes: neither are more bytes.
        """
        self._folder = folder
        self._max_files = max_files
        self._max_bytes = max_bytes
        self._lock = threading.Lock()

    def put(self, key: EditKey, first_prompt: str, mask: BoolMask) -> None:
        """Keep the mask that an edit begins with, in place of what an earlier edit began with.

        A disk that fails costs the edit's later clicks, not this one.

        Args:
            key: what is edited.
            first_prompt: the click that the edit begins with.
            mask: bool HxW, not empty.
        """
        encoded = encode_bitmap(mask)
        assert encoded is not None, "an edit never begins with an empty mask"
        (x, y), bitmap = encoded
        kept = {
            "first_prompt": first_prompt,
            "height": mask.shape[0],
            "width": mask.shape[1],
            "x": x,
            "y": y,
            "bitmap": bitmap,
        }
        target = self._folder / key.file_name
        part = self._folder / f"{uuid.uuid4().hex}.part"
        try:
            with self._lock:
                self._folder.mkdir(parents=True, exist_ok=True)
                part.write_text(json.dumps(kept))
                os.replace(part, target)
                self._make_room(target)
        except OSError as error:
            logger.warning("An edit's mask cannot be kept", extra={"error": repr(error)})
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)

    def forget(self, key: EditKey) -> None:
        """Keep nothing of earlier edits, whatever becomes of the one that begins now."""
        try:
            (self._folder / key.file_name).unlink(missing_ok=True)
        except OSError as error:
            logger.warning("An edit's mask cannot be removed", extra={"error": repr(error)})

    def find(self, key: EditKey, first_prompts: Collection[str]) -> BoolMask | None:
        """Return the mask of the edit that began with one of these clicks, or None."""
        file = self._folder / key.file_name
        try:
            kept = json.loads(file.read_text())
            if kept["first_prompt"] not in first_prompts:
                return None
            mask = np.zeros((kept["height"], kept["width"]), bool)
            tight = decode_bitmap(kept["bitmap"])
            rows, columns = tight.shape
            mask[kept["y"] : kept["y"] + rows, kept["x"] : kept["x"] + columns] = tight
            os.utime(file)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            logger.warning("An edit's mask cannot be read", extra={"error": repr(error)})
            return None
        return mask

    def _make_room(self, newest: Path) -> None:
        files = [(one.stat(), Path(one.path)) for one in os.scandir(self._folder)]
        files.sort(key=lambda one: one[0].st_mtime_ns)
        count, size = len(files), sum(status.st_size for status, _ in files)
        for status, file in files:
            if count <= self._max_files and size <= self._max_bytes:
                return
            if file != newest:
                file.unlink(missing_ok=True)
                count, size = count - 1, size - status.st_size
