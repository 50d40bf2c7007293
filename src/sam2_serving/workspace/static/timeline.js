// The timeline under the stage: which frame of a video is open, playback, objects, tracking.

import { element, icon, iconButton } from "./dom.js";
import { openPlace } from "./places.js";
import { Span } from "./span.js";
import { numbersOf, stepper } from "./stepper.js";
import { mountJumping } from "./views/jumping.js";
import { mountStrip } from "./views/strip.js";
import { mountTrack } from "./views/track.js";

const PER_PIXEL = 0.002; // of a wheel's turn

/**
 * @param {Tracking} tracking
 * @param {{track: () => void, changes: Changes, say: Function, speak: Function}} tools - `track` is
 *   called when a person wants to track
 */
export function mountTimeline(root, store, tracking, { track, changes, say, speak }) {
  const go = (frame) => openPlace(store, store.get("medium"), { frame });
  const row = stepper({ one: "frame", go });
  const play = iconButton("play", "Play (K)", () => store.set({ playing: !store.get("playing") }));
  const time = element("output.time", { "aria-label": "Time" });
  row.node.prepend(play);
  row.node.append(time);
  const strip = element("div.strip", {});
  const legend = element("div.legend", { role: "toolbar", "aria-label": "Timeline" });
  const panel = element("form.track", { "aria-label": "Tracking" });
  const part = element("div.part", { title: "Drag: other frames" }, element("span", {}));
  root.append(row.node, part, strip, legend, panel);

  const span = new Span(() => showSpan());
  const showSpan = () => {
    root.style.setProperty("--first", span.first);
    root.style.setProperty("--span", span.size);
    root.style.setProperty("--count", span.count);
    part.hidden = span.whole;
    row.limit(span.first, span.last);
    span.shown?.();
  };
  mountStrip(strip, store, go, span, { changes, say });
  mountJumping(legend, store, go, span, speak);
  mountTrack(panel, store, tracking, track);
  moveSpan(part, span);
  zoomByWheel(root, strip, store, span);

  let video = null;
  store.watch(["place"], ({ medium, place }) => {
    root.hidden = medium?.kind !== "video";
    if (root.hidden) return;
    if (video !== medium.id) span.begin(medium.frames);
    video = medium.id;
    span.reveal(place.at.frame);
    root.style.setProperty("--now", place.at.frame);
    row.show(place.at.frame, medium.frames);
    row.limit(span.first, span.last);
    time.textContent = clockOf(place.at.frame / medium.fps);
  });

  store.watch(["medium", "places"], ({ medium, places }) => {
    if (medium?.kind === "video") row.mark(numbersOf(places ?? {}, "frame"));
  });

  store.watch(["playing"], ({ playing }) => {
    const words = playing ? "Pause" : "Play";
    play.replaceChildren(icon(playing ? "pause" : "play"));
    play.title = `${words} (K)`;
    play.setAttribute("aria-label", words);
  });
}

/** Ctrl and the wheel zoom at the pointer; sideways, or with Shift, it goes along. */
function zoomByWheel(root, strip, store, span) {
  root.addEventListener("wheel", (event) => {
    const { deltaX, deltaY, ctrlKey, metaKey, shiftKey, clientX } = event;
    const zooms = ctrlKey || metaKey;
    const along = shiftKey ? deltaY || deltaX : deltaX;
    if (!zooms && !along) return;
    event.preventDefault();
    const { left, width } = (strip.querySelector(".lane") ?? root.querySelector(".rail")).getBoundingClientRect();
    if (zooms) {
      const share = Math.min(Math.max((clientX - left) / width, 0), 1);
      span.zoom(Math.exp(-deltaY * PER_PIXEL), span.first + share * span.size);
    } else span.pan(Math.sign(along) * Math.max(Math.round(Math.abs(along) / width * span.size), 1));
  }, { passive: false });
}

/** The bar that says which part of the video is shown: it is dragged to another. */
function moveSpan(part, span) {
  let from = null; // where a drag began
  part.addEventListener("pointerdown", (event) => {
    part.setPointerCapture(event.pointerId);
    const { left, width } = part.getBoundingClientRect();
    const frame = ((event.clientX - left) / width) * span.count;
    if (frame < span.first || frame > span.last + 1) span.set(Math.round(frame - span.size / 2), span.size);
    from = { x: event.clientX, first: span.first };
  });
  part.addEventListener("pointermove", (event) => {
    if (!from) return;
    const frames = ((event.clientX - from.x) / part.clientWidth) * span.count;
    span.set(Math.round(from.first + frames), span.size);
  });
  for (const name of ["pointerup", "pointercancel"]) {
    part.addEventListener(name, () => { from = null; });
  }
}

function clockOf(seconds) {
  const minutes = Math.floor(seconds / 60);
  return `${minutes}:${(seconds - 60 * minutes).toFixed(2).padStart(5, "0")}`;
}
