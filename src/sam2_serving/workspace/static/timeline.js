// The timeline under the stage: which frame of a video is open, which frames hold figures.

import { element } from "./dom.js";
import { openPlace } from "./places.js";
import { numbersOf, stepper } from "./stepper.js";

export function mountTimeline(root, store) {
  const go = (frame) => openPlace(store, store.get("medium"), { frame });
  const row = stepper({ one: "frame", go });
  const time = element("output.time", { "aria-label": "Time" });
  row.node.append(time);
  // The rows of tracked objects will stand in `tracks`.
  root.append(row.node, element("div.tracks", {}));

  store.watch(["place", "places"], ({ medium, place, places }) => {
    root.hidden = medium?.kind !== "video";
    if (root.hidden) return;
    row.show(place.at.frame, medium.frames, numbersOf(places ?? {}, "frame"));
    time.textContent = clockOf(place.at.frame / medium.fps);
  });
}

function clockOf(seconds) {
  const minutes = Math.floor(seconds / 60);
  return `${minutes}:${(seconds - 60 * minutes).toFixed(2).padStart(5, "0")}`;
}
