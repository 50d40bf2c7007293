// What can be taken away of a video's object: here, from here on, or all of it.

import { getFiguresOfObject } from "../api.js";
import { element } from "../dom.js";
import { count } from "../words.js";

const MOST = 5000; // figures of one change

/**
 * @param {{changes: Changes, say: Function}} tools
 * @returns {(object: object, button: Element) => void} opens the menu of an object at a button
 */
export function objectMenu(store, { changes, say }) {
  const menu = element("div.menu", { popover: "auto", role: "menu" });
  document.body.append(menu);
  let opener = null;

  const remove = async ({ id, classTitle }, from, to) => {
    const place = store.get("place");
    const { medium, at: { frame } } = place;
    if (store.get("locked").includes(`object-${id}`)) {
      say(`Object ${id} is locked: unlock it first.`);
      return;
    }
    const here = store.get("figures").filter(({ objectId }) => objectId === id);
    const ids = to === frame
      ? here.map((figure) => figure.id)
      : await getFiguresOfObject(medium, id, from).catch((error) => say(error.message));
    if (!ids) return;
    if (ids.length > MOST) {
      say(`These are ${ids.length} figures; ${MOST} can be deleted at once. Begin further on.`);
      return;
    }
    const where = from === 0 && to === null ? "" : to === frame ? ` on frame ${frame}` : ` from frame ${from} on`;
    await changes.make(place, `Delete ${classTitle}, object ${id}${where} (${count(ids.length, "figure")})`, { remove: ids });
  };

  menu.addEventListener("keydown", (event) => {
    const items = [...menu.querySelectorAll("button:not(:disabled)")];
    const way = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!way) return;
    event.preventDefault();
    const at = items.indexOf(document.activeElement) + way;
    items[(at + items.length) % items.length]?.focus();
  });
  menu.addEventListener("toggle", ({ newState }) => {
    opener?.setAttribute("aria-expanded", newState === "open");
  });

  return (object, button) => {
    const { frame } = store.get("place").at;
    const on = ({ from, to }) => from <= frame && frame <= to;
    const later = object.frames.some(({ to }) => to >= frame);
    const item = (words, possible, from, to) => element(
      "button.item", {
        type: "button", role: "menuitem", disabled: !possible,
        on: { click: () => { menu.hidePopover(); remove(object, from, to); } },
      }, element("span.name", {}, words),
    );
    menu.setAttribute("aria-label", `Object ${object.id}`);
    menu.replaceChildren(
      item("Delete on this frame", object.frames.some(on), frame, frame),
      item("Delete from this frame on", later, frame, null),
      item("Delete on all frames", true, 0, null),
    );
    opener = button;
    menu.showPopover();
    const { right, top } = button.getBoundingClientRect();
    const { width, height } = menu.getBoundingClientRect();
    Object.assign(menu.style, { left: `${right - width}px`, top: `${Math.max(top - height - 4, 8)}px` });
    menu.querySelector("button:not(:disabled)")?.focus();
  };
}
