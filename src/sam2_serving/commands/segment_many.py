"""Many images, one after the other, into a folder of results."""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from sam2_serving.commands.errors import UsageError
from sam2_serving.commands.formats import OutputFormat
from sam2_serving.commands.inputs import ImageFile
from sam2_serving.commands.run_folder import Done, RunFolder
from sam2_serving.commands.tasks import Task
from sam2_serving.engine import Engine, ImageKey, ImageSource, OutOfMemory
from sam2_serving.engine.read_ahead import ReadAhead
from sam2_serving.images import decode_image
from sam2_serving.settings import server_settings

STORE_BYTES = 64 * 2**20
"""For the embedding of the image at hand: no image comes twice."""
_IMAGES_AHEAD = 1
_NAME_ERRORS = {errno.EEXIST, errno.EISDIR, errno.ENAMETOOLONG, errno.ENOTDIR, errno.ENOTEMPTY}
"""Why one result cannot be written where others can."""
_NO_MEMORY = "There is not enough memory for it."


@dataclass
class Outcome:
    """How a run ended.

    Attributes:
        failures: why there is no result, by the image's name.
    """

    failures: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Loaded:
    """An image that was read, or why it was not."""

    file: ImageFile
    status: os.stat_result | None = None
    pixels: npt.NDArray[np.uint8] | None = None
    error: str = ""


def segment_many(
    run: RunFolder, engine: Engine, task: Task, form: OutputFormat, files: Sequence[ImageFile]
) -> Outcome:
    """Segment the images that are not done yet; one that fails does not stop the others.

    The next image is read while the current one is on the device. No image's pixels or masks are
    kept.

    Raises:
        UsageError: results cannot be written.
    """
    outcome = Outcome()
    waiting = [file for file in files if not run.is_done(file, form.place(file.name))]
    bar = tqdm(
        desc="segmenting",
        total=len(files),
        initial=len(files) - len(waiting),
        unit="image",
        disable=None,
    )
    with bar, closing(ReadAhead(_load(waiting, task), _IMAGES_AHEAD)) as ahead:
        for _ in waiting:
            loaded = ahead.get()
            error = loaded.error or _segment(run, engine, task, form, loaded)
            if error:
                outcome.failures[loaded.file.name] = error
                run.done.pop(loaded.file.name, None)  # a result that it had was of another file
                bar.set_postfix(failed=len(outcome.failures), refresh=False)
            bar.update(1)
    return outcome


def say_how_it_ended(
    run: RunFolder, form: OutputFormat, files: Sequence[ImageFile], outcome: Outcome
) -> int:
    """Finish the results, list what went wrong on stderr, and return the exit code."""
    names = sorted(name for name in run.done if form.place(name).exists())
    try:
        where = form.finish(names)
    except OSError as error:
        raise _cannot_write(error) from error
    done = [run.done[file.name] for file in files if file.name not in outcome.failures]
    masks = sum(one.masks for one in done)
    print(f"Segmented {len(done)} of {len(files)} images, {masks} masks: {where}")
    notes = [(one.image, note) for one in done for note in one.notes]
    _list("Boxes without a mask", notes)
    _list("Images that failed (--resume tries them again)", list(outcome.failures.items()))
    return 1 if outcome.failures or notes else 0


def _list(heading: str, entries: Sequence[tuple[str, str]]) -> None:
    if entries:
        print(f"sam2-serving: {heading}: {len(entries)}", file=sys.stderr)
    for name, why in entries:
        print(f"  {name!r}: {why}", file=sys.stderr)


def _load(files: Sequence[ImageFile], task: Task) -> Iterator[_Loaded]:
    limit = server_settings().max_image_pixels
    for file in files:
        try:
            status = file.path.stat()
            if not stat.S_ISREG(status.st_mode):  # reading a pipe would wait for ever
                yield _Loaded(file, error="It is no file.")
                continue
            pixels = decode_image(file.path.read_bytes(), limit, task.stated_size(file))
        except OSError as error:
            yield _Loaded(file, error=f"It cannot be read: {error.strerror or error}.")
        except ValueError as error:
            yield _Loaded(file, error=str(error))
        except MemoryError:
            yield _Loaded(file, error=_NO_MEMORY)
        else:
            yield _Loaded(file, status, pixels)


def _segment(
    run: RunFolder, engine: Engine, task: Task, form: OutputFormat, loaded: _Loaded
) -> str:
    """Segment one image and store its result; returns why that failed, or nothing."""
    file, status, pixels = loaded.file, loaded.status, loaded.pixels
    assert status is not None
    assert pixels is not None
    source = ImageSource(ImageKey("file", "", str(file.path)), lambda: pixels)
    height, width = pixels.shape[:2]
    try:
        image = task.segment(engine, file, source, (height, width))
    except ValueError as error:
        return str(error)
    except (MemoryError, OutOfMemory):
        return _NO_MEMORY
    try:
        form.write(image)
        about = (status.st_size, status.st_mtime_ns, len(image.objects), image.notes)
        run.note(Done(file.name, *about))
    except OSError as error:
        if error.errno in _NAME_ERRORS:
            return f"Its result cannot be written: {error.strerror}."
        raise _cannot_write(error) from error
    return ""


def _cannot_write(error: OSError) -> UsageError:
    return UsageError(
        f"The results cannot be written: {error.strerror or error}. What is done is kept: go on "
        "with --resume."
    )
