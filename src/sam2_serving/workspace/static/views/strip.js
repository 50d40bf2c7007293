// A row for each object of a video: on which frames it is, and who showed it there.

import { element, iconButton } from "../dom.js";
import { swatch } from "./classes.js";
import { objectMenu } from "./object_menu.js";

/**
 * @param {(frame: number) => void} go - called when a person points at a frame
 * @param {Span} span - the frames that are shown
 * @param {{changes: Changes, say: Function}} tools
 */
export function mountStrip(root, store, go, span, tools) {
  const rows = element("div.rows", {});
  root.append(rows);
  followPointer(rows, store, go, span);
  const openMenu = objectMenu(store, tools);

  const mark = (followed) => {
    for (const name of rows.querySelectorAll(".name")) {
      const chosen = Number(name.value) === followed;
      name.setAttribute("aria-pressed", chosen);
      if (chosen) name.scrollIntoView({ block: "nearest" });
    }
  };
  store.watch(["objects", "medium"], ({ objects, medium }) => {
    const shown = objects.filter(({ frames }) => frames.length);
    root.hidden = !shown.length;
    rows.replaceChildren(...shown.map((object) => row(object, store, openMenu)));
    // A scroll bar takes its room from the column at the right, so that the frames stay in line.
    rows.style.setProperty("--bar", `${rows.offsetWidth - rows.clientWidth}px`);
    mark(store.get("followed"));
  });

  store.watch(["followed"], ({ followed }) => mark(followed));

  // An object can be drawn where it is not.
  store.watch(["place", "objects"], ({ place, objects }) => {
    const on = ({ from, to }) => from <= place.at.frame && place.at.frame <= to;
    for (const button of rows.querySelectorAll(".join")) {
      const object = objects.find(({ id }) => id === Number(button.value));
      button.disabled = !object || place?.at.frame === undefined || object.frames.some(on);
    }
  });
  let open = null;
  store.watch(["place"], ({ place }) => {
    if (place?.key !== open) store.set({ joins: null });
    open = place?.key;
  });
}

function row(object, store, openMenu) {
  const { id, classTitle, color, frames, lost = [] } = object;
  const count = frames.reduce((sum, { from, to }) => sum + to - from + 1, 0);
  const choose = () => store.set({ followed: store.get("followed") === id ? null : id });
  const name = element(
    "button.name",
    { type: "button", value: id, title: "Track this object", on: { click: choose } },
    swatch(color), element("span", {}, classTitle), element("span.quiet", {}, `object ${id}`),
  );
  const lane = element("div.lane", { data: { object: id } }, ...frames.map((run) => bar(run, run.human ? "human" : "tracked", color)), ...lost.map((run) => bar(run, "lost", color)));
  const join = iconButton("plus", `Draw object ${id} on this frame`, () => {
    store.set({ joins: store.get("objects").find((one) => one.id === id), followed: id });
  }, ".join");
  join.value = id;
  const more = iconButton("more", `More of object ${id}`, () => openMenu(object, more));
  more.setAttribute("aria-haspopup", "menu");
  const size = element("span.quiet.size", {}, element("span", {}, frameCount(count)), join, more);
  return element("div.row", {}, name, lane, size);
}

const frameCount = (count) => `${count} ${count === 1 ? "frame" : "frames"}`;

const WORDS = { human: "drawn", tracked: "tracked", lost: "lost" };

function bar({ from, to }, kind, color) {
  const node = element(`span.bar.${kind}`, {
    title: `${from === to ? `Frame ${from}` : `Frames ${from} – ${to}`}, ${WORDS[kind]}`,
    data: { from, to },
  });
  node.style.setProperty("--color", color);
  node.style.setProperty("--at", from);
  node.style.setProperty("--length", to - from + 1);
  return node;
}

/** A press on a lane goes to the frame under the pointer, and on while it is dragged. */
function followPointer(rows, store, go, span) {
  let lane = null; // where a press began

  const point = (event, bounds = { from: 0, to: Infinity }) => {
    const { left, width } = lane.getBoundingClientRect();
    const count = store.get("medium").frames;
    const at = Math.floor(span.first + ((event.clientX - left) / width) * span.size);
    const frame = Math.min(Math.max(at, bounds.from, 0), bounds.to, count - 1);
    if (frame !== store.get("place").at.frame) go(frame);
  };

  rows.addEventListener("pointerdown", (event) => {
    lane = event.button === 0 ? event.target.closest(".lane") : null;
    if (!lane) return;
    event.preventDefault();
    rows.setPointerCapture(event.pointerId);
    store.set({ followed: Number(lane.dataset.object) });
    // A bar that is drawn wider than its frames still leads to them.
    const { from, to } = event.target.dataset;
    point(event, from === undefined ? undefined : { from: Number(from), to: Number(to) });
  });
  rows.addEventListener("pointermove", (event) => { if (lane) point(event); });
  for (const name of ["pointerup", "pointercancel"]) {
    rows.addEventListener(name, () => { lane = null; });
  }
}
