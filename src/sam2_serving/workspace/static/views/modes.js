// What a drag on the picture does: the tools. And the switches of how figures look, and of habits.

import { element, iconButton } from "../dom.js";

const TOOLS = {
  smart: ["wand", "Smart Tool (S)"],
  box: ["box", "Draw boxes (B)"],
  region: ["many", "Apply model (A)"],
};
const HABITS = {
  autoPoint: {
    words: "Point in the middle of a new box", key: "M",
    help: "A box that is drawn gets a positive click in its middle at once",
  },
  simpleClicks: {
    words: "Simple clicks", key: "C",
    help: "A click inside the mask takes away, one outside adds. Shift+click always takes away",
  },
  preview: {
    words: "Preview under the pointer", key: "P",
    help: "While nothing is begun, shows the mask that a click would give",
  },
};

/** @param {Element} root - the toolbar of tools */
export function mountModes(root, zoom, store) {
  const buttons = Object.entries(TOOLS).map(([tool, [picture, label]]) => {
    const button = iconButton(picture, label, () => store.set({ tool }));
    button.value = tool;
    return button;
  });
  root.append(...buttons);
  store.watch(["tool"], ({ tool }) => {
    for (const button of buttons) button.setAttribute("aria-pressed", button.value === tool);
  });
  mountHabits(root, store);

  const own = iconButton("colors", "Colour each figure by itself (Shift+H)", () => toggleColoring(store));
  const hide = iconButton("eye", "Hide the figures (Ctrl+H)", () => toggle(store, "hidden"));
  zoom.append(own, hide);
  store.watch(["coloring", "hidden"], ({ coloring, hidden }) => {
    own.setAttribute("aria-pressed", coloring === "figure");
    hide.setAttribute("aria-pressed", hidden);
  });
}

function opacityOf(store) {
  const input = element("input", {
    type: "range", min: 0, max: 100, step: 5, title: "Opacity of the figures",
    "aria-label": "Opacity",
    on: { input: () => store.set({ opacity: input.valueAsNumber }) },
  });
  store.watch(["opacity"], ({ opacity }) => {
    input.value = opacity;
    input.setAttribute("aria-valuetext", `${opacity} %`);
  });
  return element("label.check", {}, element("span", {}, "Opacity of figures"), input);
}

/** A button that opens the Smart Tool's habits, and how dense figures are drawn. */
function mountHabits(root, store) {
  const panel = element("div.habits", {
    id: "habits", popover: "auto", role: "group", "aria-label": "Habits and opacity",
  });
  const inputs = Object.entries(HABITS).map(([name, { words, key, help }]) => {
    const input = element("input", {
      type: "checkbox", on: { change: () => store.set({ [name]: input.checked }) },
    });
    store.watch([name], (state) => { input.checked = state[name]; });
    panel.append(element("label.check", { title: `${help} (${key})` },
      input, element("span", {}, words), element("kbd", {}, key)));
    return input;
  });
  panel.append(opacityOf(store));
  const button = iconButton("sliders", "Habits and opacity", () => {});
  button.popoverTargetElement = panel;
  button.setAttribute("aria-expanded", false);
  panel.addEventListener("toggle", ({ newState }) => {
    button.setAttribute("aria-expanded", newState === "open");
    const { left, bottom } = root.getBoundingClientRect();
    Object.assign(panel.style, { left: `${left}px`, top: `${bottom + 6}px` });
    if (newState === "open") inputs[0].focus();
  });
  root.append(button, panel);
}

export function toggle(store, name) {
  store.set({ [name]: !store.get(name) });
}

export function toggleColoring(store) {
  store.set({ coloring: store.get("coloring") === "figure" ? "class" : "figure" });
}
