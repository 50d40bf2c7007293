// The controls of a volume: plane, slice, and the window of intensities that is shown.

import { element } from "../dom.js";
import { openPlace } from "../places.js";
import { numbersOf, stepper } from "../stepper.js";

const PLANES = { axial: "Axial", coronal: "Coronal", sagittal: "Sagittal" };

export function mountSlices(root, store) {
  const open = (at) => openPlace(store, store.get("medium"), at);
  const radios = Object.entries(PLANES).map(([plane, title]) =>
    element(
      "label",
      {},
      element("input", {
        type: "radio", name: "plane", value: plane,
        // Another plane has other slices: its middle is a good start.
        on: { change: () => open({ plane, slice: undefined }) },
      }),
      element("span", {}, title),
    ),
  );
  const row = stepper({ one: "slice", go: (slice) => open({ slice }) });
  const center = setting("Window center", (value) => open({ center: value }));
  const width = setting("Window width", (value) => open({ width: value }));
  const whole = element("button", { type: "button", title: "Show all intensities" }, "Whole range");
  whole.addEventListener("click", () => {
    const { window } = store.get("medium");
    open({ center: window.center, width: window.width });
  });
  root.append(
    element("fieldset.planes", { "aria-label": "Plane" }, ...radios),
    row.node,
    element("div.window", {}, center.node, width.node, whole),
  );

  store.watch(["place", "places"], ({ medium, place, places }) => {
    root.hidden = medium?.kind !== "volume";
    if (root.hidden) return;
    const { at } = place;
    for (const radio of root.querySelectorAll("[name=plane]")) radio.checked = radio.value === at.plane;
    const count = medium.planes[at.plane].slices;
    row.show(at.slice, count);
    row.mark(numbersOf(places ?? {}, at.plane), count);
    const { min, max } = medium.window;
    const step = max - min > 50 ? 1 : (max - min) / 200 || 1;
    center.show(at.center, min, max, step);
    width.show(at.width, step, Math.max(max - min, step), step);
  });
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
