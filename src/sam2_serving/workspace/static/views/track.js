// How far to track, which way and what; how runs of tracking are getting on.

import { element, iconButton } from "../dom.js";
import { openPlace } from "../places.js";

const WAYS = { forward: "forward", backward: "backward", both: "both ways" };
const MOST_WARNINGS = 3;

export function mountTrack(root, store, tracking, track) {
  const count = element("input", {
    type: "number", min: 1, max: 100_000, step: 1, required: true, "aria-label": "Frames to track",
    value: store.get("trackFrames"),
    on: {
      input: () => store.set({ trackFrames: count.validity.valid ? Number(count.value) : null }),
    },
  });
  const way = element(
    "select",
    {
      "aria-label": "Direction of tracking",
      on: { change: () => store.set({ trackDirection: way.value }) },
    },
    ...Object.entries(WAYS).map(([value, words]) => element("option", { value }, words)),
  );
  const what = element("select", {
    "aria-label": "Objects to track",
    on: { change: () => store.set({ followed: what.value ? Number(what.value) : null }) },
  });
  const start = element("button.primary", { type: "submit", title: "Track (T)" }, "Track");
  const stop = element("button", { type: "button", on: { click: () => press() } }, "Stop");
  const runs = element("div.runs", {});
  root.append(
    element("span.quiet", {}, "Track"), what,
    element("label", {}, count, element("span.quiet", {}, "frames")), way, start, stop, runs,
  );
  root.addEventListener("submit", (event) => {
    event.preventDefault();
    track();
  });

  let stopping = false;
  const press = async () => {
    stopping = true;
    show();
    stopping = await tracking.stop();
    show();
  };
  const show = () => {
    const [tracks, problem, quiet] =
      ["tracks", "trackProblem", "tracksQuiet"].map((name) => store.get(name));
    const running = tracks.some(({ state }) => state === "running");
    stopping &&= running;
    stop.hidden = !running;
    const waits = stopping && !quiet; // a quiet run may never answer: it is given up by a second press
    stop.disabled = waits;
    stop.textContent = waits ? "Stopping…" : "Stop";
    const lines = tracks.map((one) => line(one, quiet, store));
    if (problem) lines.unshift(element("p.problem", {}, problem));
    runs.replaceChildren(...lines);
    if (lines.length > (running ? 1 : 0)) runs.append(closing(tracks, problem, tracking));
  };
  store.watch(["tracks", "trackProblem", "tracksQuiet"], show);

  store.watch(["figures", "objects", "followed"], ({ figures, objects, followed }) => {
    const here = new Set(figures.map(({ objectId }) => objectId));
    const on = objects.filter(({ id }) => here.has(id));
    const all = on.length ? `all on this frame (${on.length})` : "nothing on this frame";
    what.replaceChildren(
      element("option", { value: "" }, all),
      ...on.map(({ id, classTitle }) => element("option", { value: id }, `${classTitle} · object ${id}`)),
    );
    what.value = on.some(({ id }) => id === followed) ? followed : "";
    what.disabled = !on.length;
    start.disabled = !figures.length;
  });
}

/** A way to be told no more of what has ended. */
function closing(tracks, problem, tracking) {
  const ended = problem || tracks.some(({ state }) => state !== "running");
  return ended ? iconButton("cross", "Close the messages", () => tracking.dismiss()) : "";
}

function line(track, quiet, store) {
  const { state, progress: { current, total }, warnings, error } = track;
  const running = state === "running";
  const node = element("div.run", { data: { state, track: track.trackId } });
  if (running) node.append(element("progress", { value: current, max: total || 1 }));
  node.append(element(error ? "p.problem" : "p", {}, sentenceOf(track)));
  if (running && quiet) node.append(element("p.warned", {}, "Nothing heard of it for a while."));
  for (const words of warnings.slice(0, MOST_WARNINGS)) node.append(warning(words, store));
  const more = warnings.length - MOST_WARNINGS;
  if (more > 0) {
    const rest = warnings.slice(MOST_WARNINGS).join("\n");
    node.append(element("p.warned", { title: rest }, `and ${more} more warnings`));
  }
  return node;
}

function sentenceOf({ state, direction, frame, progress: { current, total }, error }) {
  const way = direction === null ? "" : ` ${direction} from frame ${frame}`;
  if (state === "running") return `Tracking${way}: ${current} of ${total} frames`;
  if (state === "finished") return `Tracked${way}: ${total} frames.`;
  if (state === "stopped") return `Stopped tracking${way} after ${current} of ${total} frames.`;
  return `Tracking${way} failed: ${error}`;
}

/** A warning; where it names a frame, a way to go there. */
function warning(words, store) {
  const frame = /\bframe (\d+)/.exec(words)?.[1];
  const node = element("p.warned", {}, words);
  if (frame !== undefined) {
    const go = () => openPlace(store, store.get("medium"), { frame: Number(frame) });
    node.append(" ", element("button.link", { type: "button", on: { click: go } }, "Show"));
  }
  return node;
}
