// What the mouse does on a slice while a key is held: X moves the cross-hair, W changes the window.
// And the wheel with Shift, which goes through slices or frames.

import { crossAt, Mover } from "../crosshair.js";
import { openPlace } from "../places.js";
import { windowOf } from "../windowing.js";
import { isElsewhere } from "./keys.js";

const FULL_PX = 400; // a drag of so many pixels changes the window by the volume's whole range

/** @param {{step: (count: number) => void}} actions - go on by some slices or frames */
export function mountProbing(root, store, stage, { step }) {
  const open = (at) => openPlace(store, store.get("medium"), at);
  const mover = new Mover(open, () => !stage.held);
  let held = null; // "x" or "w"
  let pointer = null; // the last event over the picture
  let drag = null; // where a drag of the window began, and from which window

  const volume = () => store.get("place")?.medium.kind === "volume";
  const cross = (event) => {
    const { medium, at } = store.get("place");
    mover.to(crossAt(at.plane, medium, stage.imagePoint(event)));
  };
  const shift = (event) => {
    const { medium } = store.get("place");
    const { min, max } = medium.window;
    const each = ((max - min) || 1) / FULL_PX;
    const center = drag.center + (event.clientY - drag.y) * each;
    mover.to(windowOf(medium, center, drag.width + (event.clientX - drag.x) * each));
  };

  addEventListener("keydown", (event) => {
    const key = event.key.toLowerCase();
    if (!["x", "w"].includes(key) || event.ctrlKey || event.metaKey || event.altKey) return;
    if (isElsewhere(event) || !volume()) return;
    held = key;
    root.dataset.held = key;
    if (key === "x" && pointer && !event.repeat) cross(pointer);
  });
  const letGo = () => {
    held = null;
    delete root.dataset.held;
  };
  addEventListener("keyup", ({ key }) => { if (key.toLowerCase() === held) letGo(); });
  addEventListener("blur", letGo);

  // Before the stage hears of it: a press is no click then.
  const first = { capture: true };
  const own = (event) => {
    event.preventDefault();
    event.stopPropagation();
  };
  root.addEventListener("pointermove", (event) => {
    pointer = event.target === stage.canvas ? event : null;
    if (drag) shift(event);
    else if (held === "x" && pointer && volume()) cross(event);
    if (drag || (held && volume())) own(event);
  }, first);
  root.addEventListener("pointerleave", () => { pointer = null; });
  root.addEventListener("pointerdown", (event) => {
    if (!held || !volume() || event.button !== 0 || event.target !== stage.canvas) return;
    own(event);
    if (held === "x") return;
    stage.canvas.setPointerCapture(event.pointerId);
    const { center, width } = store.get("place").at;
    drag = { x: event.clientX, y: event.clientY, center, width };
  }, first);
  for (const name of ["pointerup", "pointercancel"]) {
    root.addEventListener(name, (event) => {
      if (drag) own(event);
      drag = null;
    }, first);
  }
  root.addEventListener("wheel", (event) => {
    if (!event.shiftKey || event.ctrlKey || event.target !== stage.canvas) return;
    if (!["volume", "video"].includes(store.get("place")?.medium.kind)) return;
    own(event);
    step(Math.sign(event.deltaY || event.deltaX));
  }, { capture: true, passive: false });
}
