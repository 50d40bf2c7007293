// The timeline under the stage: which frame of a video is open, playback, objects, tracking.

import { element, icon, iconButton } from "./dom.js";
import { openPlace } from "./places.js";
import { numbersOf, stepper } from "./stepper.js";
import { mountStrip } from "./views/strip.js";
import { mountTrack } from "./views/track.js";

/**
 * @param {Tracking} tracking
 * @param {() => void} track - called when a person wants to track
 */
export function mountTimeline(root, store, tracking, track) {
  const go = (frame) => openPlace(store, store.get("medium"), { frame });
  const row = stepper({ one: "frame", go });
  const play = iconButton("play", "Play (K)", () => store.set({ playing: !store.get("playing") }));
  const time = element("output.time", { "aria-label": "Time" });
  row.node.prepend(play);
  row.node.append(time);
  const strip = element("div.strip", {});
  const panel = element("form.track", { "aria-label": "Tracking" });
  root.append(row.node, strip, panel);
  mountStrip(strip, store, go);
  mountTrack(panel, store, tracking, track);

  store.watch(["place"], ({ medium, place }) => {
    root.hidden = medium?.kind !== "video";
    if (root.hidden) return;
    root.style.setProperty("--count", medium.frames);
    root.style.setProperty("--now", place.at.frame);
    row.show(place.at.frame, medium.frames);
    time.textContent = clockOf(place.at.frame / medium.fps);
  });

  store.watch(["medium", "places"], ({ medium, places }) => {
    if (medium?.kind === "video") row.mark(numbersOf(places ?? {}, "frame"), medium.frames);
  });

  store.watch(["playing"], ({ playing }) => {
    const words = playing ? "Pause" : "Play";
    play.replaceChildren(icon(playing ? "pause" : "play"));
    play.title = `${words} (K)`;
    play.setAttribute("aria-label", words);
  });
}

function clockOf(seconds) {
  const minutes = Math.floor(seconds / 60);
  return `${minutes}:${(seconds - 60 * minutes).toFixed(2).padStart(5, "0")}`;
}
