// What a drag on the picture does: the tools, and the switch of colours.

import { iconButton } from "../dom.js";

const TOOLS = {
  smart: ["wand", "Smart Tool (S)"],
  box: ["box", "Draw boxes (B)"],
  region: ["many", "Apply model (A)"],
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

  const own = iconButton("colors", "Colour each figure by itself (Shift+H)", () => toggleColoring(store));
  zoom.append(own);
  store.watch(["coloring"], ({ coloring }) => own.setAttribute("aria-pressed", coloring === "figure"));
}

export function toggleColoring(store) {
  store.set({ coloring: store.get("coloring") === "figure" ? "class" : "figure" });
}
