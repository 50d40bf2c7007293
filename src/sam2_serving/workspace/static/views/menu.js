// The menu of a figure: its class, and what can be done with it.

import { element } from "../dom.js";
import { boxesOf } from "./apply.js";
import { isLocked, isVeiled, setMarks } from "../keeping.js";
import { swatch } from "./classes.js";
import { nameOf } from "./figures.js";

// [what it is, what it becomes, in words]; without the first: whatever it is
const SHAPES = [
  ["rectangle", "bitmap", "Fill the box: mask"],
  ["polygon", "bitmap", "To mask"],
  ["bitmap", "polygon", "To polygon"],
  [null, "rectangle", "To box"],
];
const GAP = 8; // to the window's edge, in CSS pixels

/**
 * The menu of figures, with all that this page can do with one.
 * @param {{edit: Function, remove: Function, goTo: Function}} actions - called with a figure
 */
export function figureMenu(store, changes, segmenting, { edit, remove, goTo }) {
  const entriesOf = (figure) => [
    { words: "Go to", act: () => goTo(figure) },
    ...(isLocked({ locked: store.get("locked") }, figure) ? [] : changesOf(figure)),
    ...markEntries(figure),
  ];
  const changesOf = (figure) => [
    ...(figure.geometryType === "rectangle" ? boxEntries(figure) : []),
    ...(figure.geometryType === "rectangle"
      ? [{ words: "Move or resize the box", act: () => edit(figure) }]
      : []),
    ...(figure.geometry.bitmap ? [{ words: "Edit with the Smart Tool", act: () => edit(figure) }] : []),
    ...shapeEntries(figure),
    ...orderEntries(figure),
    { words: "Delete", act: () => remove(figure) },
  ];
  const alter = (figure, what, wish) =>
    changes.make(store.get("place"), `${what} of ${nameOf(figure, store.get("classes"))}`, wish);
  const shapeEntries = (figure) => SHAPES
    .filter(([from, to]) => (from ?? figure.geometryType) === figure.geometryType && to !== figure.geometryType)
    .map(([, to, words]) => ({
      words,
      act: () => alter(figure, "Shape", { convert: [{ id: figure.id, to }] }),
    }));
  const orderEntries = (figure) => {
    const ids = store.get("figures").map(({ id }) => id);
    const others = ids.filter((id) => id !== figure.id);
    const entry = (words, order) => ({ words, act: () => alter(figure, "Order", { order }) });
    return [
      ...(ids.at(-1) === figure.id ? [] : [entry("Bring to front", [...others, figure.id])]),
      ...(ids[0] === figure.id ? [] : [entry("Send to back", [figure.id, ...others])]),
    ];
  };
  const markEntries = (figure) => {
    const entry = (name, is, [set, take]) => {
      const on = is({ [name]: store.get(name) }, figure);
      return { words: on ? take : set, act: () => setMarks(store, name, [figure], !on) };
    };
    return [entry("veiled", isVeiled, ["Hide", "Show"]), entry("locked", isLocked, ["Lock", "Unlock"])];
  };
  const boxEntries = (box) => {
    const alike = boxesOf(store.get("figures")).filter(({ classId }) => classId === box.classId);
    const entry = (words, boxes, geometry) => ({ words, act: () => segmenting.inBoxes(boxes, geometry) });
    return [
      entry("Box to mask", [box], "bitmap"),
      entry("Box to polygon", [box], "polygon"),
      ...(alike.length > 1
        ? [
          entry(`All ${alike.length} boxes of the class to masks`, alike, "bitmap"),
          entry(`All ${alike.length} boxes of the class to polygons`, alike, "polygon"),
        ]
        : []),
    ];
  };
  const classify = (figure, class_id) => {
    const name = nameOf(figure, store.get("classes"));
    changes.make(store.get("place"), `Class of ${name}`, { classify: [{ id: figure.id, class_id }] });
  };
  return new FigureMenu(store, entriesOf, classify);
}

/** One menu for the page; it opens for a figure at a point of the window. */
class FigureMenu {
  /**
   * @param {{get, set}} store
   * @param {(figure: object) => {words: string, act: () => void}[]} entriesOf - what can be done
   *   besides giving it a class
   * @param {(figure: object, classId: number) => void} classify
   */
  constructor(store, entriesOf, classify) {
    Object.assign(this, { store, entriesOf, classify, node: null });
    this.outside = ({ target }) => { if (!this.node.contains(target)) this.close(); };
    this.away = () => this.close(); // the window lost the focus
    store.watch(["place"], () => this.close());
  }

  /** @param {object|null} figure - null: choose the class of what is drawn next */
  open(figure, { x, y }) {
    this.close();
    if (!figure && !this.store.get("classes").length) return;
    this.before = document.activeElement;
    this.store.set({ selected: figure?.id ?? null });
    this.node = this.build(figure);
    document.body.append(this.node);
    const { width, height } = this.node.getBoundingClientRect();
    const within = (at, size, room) => Math.max(GAP, Math.min(at, room - size - GAP));
    this.node.style.left = `${within(x, width, innerWidth)}px`;
    this.node.style.top = `${within(y, height, innerHeight)}px`;
    this.items[0].focus();
    addEventListener("pointerdown", this.outside, true);
    addEventListener("blur", this.away);
  }

  close() {
    if (!this.node) return;
    removeEventListener("pointerdown", this.outside, true);
    removeEventListener("blur", this.away);
    this.node.remove();
    this.node = null;
    this.store.set({ selected: null });
    this.before?.focus?.({ preventScroll: true });
  }

  get items() {
    return [...this.node.querySelectorAll("[role^=menuitem]")];
  }

  build(figure) {
    const classes = this.store.get("classes");
    const item = (role, act, properties, ...children) => element(
      "button.item",
      { type: "button", role, tabIndex: -1, on: { click: () => { this.close(); act(); } }, ...properties },
      ...children,
    );
    const ofClass = ({ id, title, color }, index) => item(
      "menuitemradio",
      () => {
        if (!figure) this.store.set({ classId: id });
        else if (id !== figure.classId) this.classify(figure, id);
      },
      { "aria-checked": id === (figure?.classId ?? this.store.get("classId")) },
      swatch(color),
      element("span.name", {}, title),
      ...(index < 9 ? [element("kbd", {}, String(index + 1))] : []),
    );
    return element(
      "div.menu",
      {
        role: "menu",
        "aria-label": figure ? `Figure #${figure.id}` : "Class of the next figure",
        on: {
          keydown: (event) => this.key(event),
          contextmenu: (event) => event.preventDefault(),
        },
      },
      element("div.choices", { role: "group", "aria-label": "Class" }, ...classes.map(ofClass)),
      ...(figure
        ? [element("div.choices", { role: "group", "aria-label": "Figure" },
          ...this.entriesOf(figure).map(({ words, act }) => item("menuitem", act, {}, words)))]
        : []),
    );
  }

  /** Arrows walk, a number chooses a class, Esc and Tab close; nothing reaches the page's keys. */
  key(event) {
    event.stopPropagation();
    const { items } = this;
    const at = items.indexOf(document.activeElement);
    const steps = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: items.length - 1 };
    if (event.key in steps) items.at(steps[event.key] % items.length).focus();
    else if (event.key === "Escape" || event.key === "Tab") this.close();
    else if (/^[1-9]$/.test(event.key)) {
      this.node.querySelectorAll("[role=menuitemradio]")[Number(event.key) - 1]?.click();
    } else return; // Enter and Space press the button
    event.preventDefault();
  }
}
