// The panel of "Apply model": where, how, and go. And the boxes that can become masks.

import { element } from "../dom.js";

// As Meta's generator has them, but for the area: a stray pixel makes the box of a mask so large that
// it does not count as a second mask of the same thing.
const SETTINGS = {
  points: {
    title: "Points a side", value: 32, min: 1, max: 128, step: 1,
    help: "Of the grid of points that the model is asked at. More find smaller things and take longer.",
  },
  quality: {
    title: "Least predicted IoU", value: 0.8, min: 0, max: 1, step: 0.01,
    help: "Masks of which the model itself thinks less are left out.",
  },
  stability: {
    title: "Least stability", value: 0.95, min: 0, max: 1, step: 0.01,
    help: "Masks with an uncertain edge are left out.",
  },
  area: {
    title: "Least area, px", value: 100, min: 0, max: 100_000_000, step: 1,
    help: "Masks, and holes and islands of masks, that are smaller are left out.",
  },
};

/** @param {Segmenting} segmenting */
export function mountApply(root, store, segmenting) {
  const inputs = Object.fromEntries(Object.entries(SETTINGS).map(([name, one]) => [name, numberOf(one)]));
  const where = element("p.where-to", {});
  const whole = element("button.link", { type: "button", on: { click: () => store.set({ region: null }) } }, "Whole picture");
  const go = element("button.primary", { type: "submit" });
  const reset = element("button.link", { type: "button" }, "Defaults");
  const form = element(
    "form", { noValidate: false },
    element("p.row-of", {}, where, whole),
    ...Object.entries(SETTINGS).map(([name, { title, help }]) =>
      element("label.number", { title: help }, element("span", {}, title), inputs[name])),
    element("p.row-of", {}, go, reset),
  );
  const title = element("h2", { id: "apply-title" }, "Apply model");
  root.append(title, form);
  reset.addEventListener("click", () => {
    for (const [name, { value }] of Object.entries(SETTINGS)) inputs[name].value = value;
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const wish = Object.entries(inputs).map(([name, input]) => [name, input.valueAsNumber]);
    segmenting.everything(Object.fromEntries(wish));
  });

  store.watch(["tool", "region", "job", "place", "classId", "classes"], (state) => {
    root.hidden = state.tool !== "region";
    const { region, job, place, classes, classId } = state;
    const [from, to] = region ?? [];
    where.textContent = region
      ? `Region: ${to.x - from.x + 1} × ${to.y - from.y + 1} px`
      : "Whole picture. Drag on it to choose a region.";
    whole.hidden = !region;
    go.textContent = region ? "Apply to the region" : "Apply to the picture";
    go.disabled = job !== null || !place;
    const owner = classes.find(({ id }) => id === classId);
    go.title = owner ? `What is found becomes figures of the class ${owner.title}` : "";
  });
}

function numberOf({ value, min, max, step, title }) {
  return element("input", {
    type: "number", value, min, max, step, required: true, "aria-label": title,
  });
}

/** The section "Boxes": all boxes of a class, or of all, become masks or polygons. */
export function mountBoxes(root, store, segmenting) {
  const of = element("select", { "aria-label": "Which boxes" });
  const largest = element("input", { type: "checkbox" });
  const button = (words, geometry) => element("button", {
    type: "button",
    on: { click: () => segmenting.inBoxes(chosen(), geometry, largest.checked) },
  }, words);
  const buttons = [button("To masks", "bitmap"), button("To polygons", "polygon")];
  root.append(
    element("h2", { id: "boxes-title" }, "Boxes"),
    of,
    element("p.row-of", {}, ...buttons),
    element("label.check", { title: "Leave out parts that are apart from the largest" }, largest,
      element("span", {}, "Only the largest part of each")),
  );
  const chosen = () => boxesOf(store.get("figures"))
    .filter(({ classId }) => !of.value || classId === Number(of.value));

  store.watch(["figures", "classes", "job"], ({ figures, classes, job }) => {
    const boxes = boxesOf(figures);
    root.hidden = !boxes.length;
    const before = of.value;
    const choices = classes.map(({ id, title }) =>
      [id, title, boxes.filter(({ classId }) => classId === id).length]).filter(([, , n]) => n);
    of.replaceChildren(
      element("option", { value: "" }, `All boxes here (${boxes.length})`),
      ...choices.map(([id, title, n]) => element("option", { value: id }, `${title} (${n})`)),
    );
    of.value = choices.some(([id]) => String(id) === before) ? before : "";
    for (const one of buttons) one.disabled = job !== null;
  });
}

export const boxesOf = (figures) => figures.filter(({ geometryType }) => geometryType === "rectangle");
