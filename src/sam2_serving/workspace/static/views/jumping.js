// The row under the objects of a video: what the bars mean, jumps from one to the next, the zoom.

import { element, iconButton } from "../dom.js";
import { nextFrame } from "../jumps.js";
import { isElsewhere } from "./keys.js";

const KINDS = {
  human: { words: "drawn or corrected", one: "keyframe", keys: ["J", "L"] },
  lost: { words: "lost", one: "lost frame", keys: ["Shift+J", "Shift+L"] },
};

/**
 * @param {(frame: number) => void} go
 * @param {Span} span
 * @param {(words: string) => void} speak
 */
export function mountJumping(root, store, go, span, speak) {
  const jump = (what, way) => {
    const [place, objects, followed] = ["place", "objects", "followed"].map((name) => store.get(name));
    if (place?.at.frame === undefined) return;
    const next = nextFrame(objects, followed, what, place.at.frame, way);
    if (!next) {
      speak(`No ${way < 0 ? "earlier" : "later"} ${KINDS[what].one}.`);
      return;
    }
    store.set({ playing: false });
    go(next.frame);
    // What is drawn there is that object, found again.
    if (what === "lost") store.set({ followed: next.object.id, joins: next.object });
  };
  const buttons = Object.entries(KINDS).map(([what, { words, one, keys }]) => {
    const [previous, next] = [-1, 1].map((way) => {
      const [name, label] = way < 0 ? ["previous", "Previous"] : ["next", "Next"];
      return iconButton(name, `${label} ${one} (${keys[way < 0 ? 0 : 1]})`, () => jump(what, way));
    });
    const group = element("span.kind", {}, element(`span.bar.${what}`, {}), words, previous, next);
    store.watch(["objects", "followed", "place"], ({ objects, followed, place }) => {
      const now = place?.at.frame ?? 0;
      for (const [button, way] of [[previous, -1], [next, 1]]) {
        button.disabled = !nextFrame(objects, followed, what, now, way);
      }
    });
    return group;
  });
  const zoom = mountZoom(store, span);
  root.append(buttons[0], element("span.kind", {}, element("span.bar", {}), "tracked"), buttons[1], zoom);

  addEventListener("keydown", (event) => {
    const key = event.key.toLowerCase();
    if (!["j", "l"].includes(key) || event.ctrlKey || event.metaKey || event.altKey) return;
    if (isElsewhere(event) || event.target.closest?.("select")) return;
    jump(event.shiftKey ? "lost" : "human", key === "j" ? -1 : 1);
  });
}

function mountZoom(store, span) {
  const now = () => store.get("place")?.at.frame ?? 0;
  const out = iconButton("minus", "Show more frames (Ctrl+wheel)", () => span.zoom(1 / 2, now()));
  const closer = iconButton("plus", "Show fewer frames (Ctrl+wheel)", () => span.zoom(2, now()));
  const all = iconButton("fit", "Show all frames", () => span.zoom(1 / span.count, now()));
  const words = element("output", { "aria-label": "Frames that the timeline shows" });
  span.shown = () => {
    words.textContent = span.whole ? "" : `frames ${span.first} – ${span.last}`;
    out.disabled = span.whole;
    all.disabled = span.whole;
  };
  return element("span.kind.span", { role: "group", "aria-label": "Zoom of the timeline" }, words, out, closer, all);
}
