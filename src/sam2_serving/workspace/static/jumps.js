// From one frame that matters to the next: frames that a person drew, frames on which an object
// was lost.

/**
 * The next such frame of the chosen object or, if none is chosen, of any.
 * @param {object[]} objects - of the video, as the workspace lists them
 * @param {"human"|"lost"} what
 * @param {number} way - 1: later; -1: earlier
 * @returns {{frame: number, object: object}|null}
 */
export function nextFrame(objects, followed, what, now, way) {
  const chosen = objects.filter(({ id }) => id === followed);
  const found = (chosen.length ? chosen : objects)
    .flatMap((object) => framesOf(object, what, now, way).map((frame) => ({ frame, object })))
    .filter(({ frame }) => (frame - now) * way > 0);
  return found.reduce(
    (best, one) => (best && (best.frame - one.frame) * way <= 0 ? best : one), null,
  );
}

/** Of a run of drawn frames the nearest one; of a loss the frame on which it began. */
function framesOf({ frames, lost = [] }, what, now, way) {
  if (what === "lost") return lost.map(({ from, to, back }) => (back ? to : from));
  return frames.filter(({ human }) => human)
    .map(({ from, to }) => Math.min(Math.max(now + way, from), to));
}
