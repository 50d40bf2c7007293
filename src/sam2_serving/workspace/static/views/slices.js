// The controls of a volume: plane, slice, whose the next figure is, and the window of intensities
// that is shown.

import { PLANES } from "../crosshair.js";
import { element, iconButton } from "../dom.js";
import { openPlace } from "../places.js";
import { numbersOf, stepper } from "../stepper.js";
import { CT_WINDOWS, isTomography, windowOfSlice } from "../windowing.js";
import { toggle } from "./modes.js";
import { count } from "../words.js";

export function mountSlices(root, store) {
  const open = (at) => openPlace(store, store.get("medium"), at);
  const radios = Object.entries(PLANES).map(([plane, title]) =>
    element(
      "label",
      {},
      element("input", {
        type: "radio", name: "plane", value: plane,
        on: { change: () => open({ plane, slice: undefined }) },
      }),
      element("span", {}, title),
    ),
  );
  const row = stepper({ one: "slice", go: (slice) => open({ slice }) });
  const center = setting("Window center", (value) => open({ center: value }));
  const width = setting("Window width", (value) => open({ width: value }));
  root.append(
    element("fieldset.planes", { "aria-label": "Plane" }, ...radios),
    row.node, switches(store), ownerOf(store),
    element("div.window", { title: "Or hold W and drag on the picture" }, center.node, width.node, ...presets(store, open)),
  );

  store.watch(["place", "places"], ({ medium, place, places }) => {
    root.hidden = medium?.kind !== "volume";
    if (root.hidden) return;
    const { at } = place;
    for (const radio of root.querySelectorAll("[name=plane]")) radio.checked = radio.value === at.plane;
    const slices = medium.planes[at.plane].slices;
    row.show(at.slice, slices);
    row.mark(numbersOf(places ?? {}, at.plane));
    const { min, max } = medium.window;
    const step = max - min > 50 ? 1 : (max - min) / 200 || 1;
    center.show(at.center, min, max, step);
    width.show(at.width, step, Math.max(max - min, step), step);
  });
}

/** What is shown besides the slice: the other planes, the cross-hair. */
function switches(store) {
  const buttons = Object.entries({
    planes: ["planes", "Show the other two planes"],
    cross: ["cross-hair", "Show the cross-hair (X moves it to the pointer)"],
  }).map(([name, [picture, label]]) => {
    const button = iconButton(picture, label, () => toggle(store, name));
    store.watch([name], (state) => button.setAttribute("aria-pressed", state[name]));
    return button;
  });
  return element("div.switches", { role: "group", "aria-label": "Views" }, ...buttons);
}

/** Which object the next figure shows: one that other slices show too, or a new one. */
function ownerOf(store) {
  let wanted = null; // id of the object that a person chose
  const choice = element("select", { "aria-label": "Object of the next figure" });
  const join = () => {
    const { objects, figures, medium } = stateOf(store, "objects", "figures", "medium");
    if (medium?.kind !== "volume") return;
    const object = objects.find(({ id }) => id === wanted) ?? null;
    if (!object && objects.length) wanted = null;
    // An object has one figure on a slice.
    const here = figures.some(({ objectId }) => objectId !== null && objectId === object?.id);
    const joins = here ? null : object;
    if (store.get("joins")?.id !== joins?.id) store.set({ joins });
  };
  choice.addEventListener("change", () => {
    wanted = choice.value ? Number(choice.value) : null;
    join();
  });
  store.watch(["objects", "medium", "classes"], ({ objects, medium }) => {
    if (medium?.kind !== "volume") return;
    choice.replaceChildren(
      element("option", { value: "" }, "a new object"),
      ...objects.filter(({ slices }) => slices && Object.keys(slices).length).map(optionOf),
    );
    choice.value = wanted ?? "";
    if (choice.selectedIndex < 0) choice.value = "";
  });
  store.watch(["objects", "figures", "joins", "place"], join);
  return element("label.owner", { title: "An object goes on over many slices and in all planes" }, "Next figure is of ", choice);
}

function optionOf({ id, classTitle, slices }) {
  const total = Object.values(slices).reduce((sum, each) => sum + each.length, 0);
  return element("option", { value: id }, `${classTitle} · object ${id} (${count(total, "slice")})`);
}

/** Windows that are chosen rather than set. */
function presets(store, open) {
  const whole = element("button", { type: "button", title: "Show all intensities of the volume" }, "Whole range");
  whole.addEventListener("click", () => {
    const { window } = store.get("medium");
    open({ center: window.center, width: window.width });
  });
  const fit = element("button", { type: "button", title: "From the darkest to the brightest of this slice" }, "Fit to slice");
  fit.addEventListener("click", async () => {
    const place = store.get("place");
    const window = await windowOfSlice(place).catch(() => null);
    if (window && store.get("medium") === place.medium) open(window);
  });
  const usual = element(
    "select", { "aria-label": "Window for tomography", title: "For CT, in Hounsfield units" },
    element("option", { value: "" }, "CT window…"),
    ...Object.keys(CT_WINDOWS).map((name) => element("option", { value: name }, name)),
  );
  usual.addEventListener("change", () => {
    const [center, width] = CT_WINDOWS[usual.value] ?? [];
    if (width) open({ center, width });
  });
  store.watch(["place"], ({ medium, place }) => {
    if (medium?.kind !== "volume") return;
    usual.hidden = !isTomography(medium);
    const { at } = place;
    usual.value = Object.keys(CT_WINDOWS)
      .find((name) => CT_WINDOWS[name][0] === at.center && CT_WINDOWS[name][1] === at.width) ?? "";
  });
  return [whole, fit, usual];
}

function stateOf(store, ...names) {
  return Object.fromEntries(names.map((name) => [name, store.get(name)]));
}

/** A number that can be dragged or typed. */
function setting(title, change) {
  const take = (input) => () => {
    const value = Number(input.value);
    if (input.value !== "" && Number.isFinite(value)) change(value);
  };
  const slider = element("input", { type: "range", "aria-label": title });
  const number = element("input", { type: "number", "aria-label": `${title}, number` });
  slider.addEventListener("input", take(slider));
  number.addEventListener("change", () => {
    // A window of no width shows nothing; the box says what it takes.
    if (number.reportValidity()) take(number)();
  });
  let shown = null;
  const show = (value, min, max, step) => {
    Object.assign(slider, { min, max, step, value });
    number.step = "any";
    if (value !== shown) number.value = Number(value.toFixed(3));
    shown = value;
    number.min = title.endsWith("width") ? step : "";
  };
  return { node: element("label.setting", {}, element("span", {}, title), slider, number), show };
}
