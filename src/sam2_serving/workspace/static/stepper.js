// A row to go through pictures one by one: previous, slider, next, number.

import { element, iconButton } from "./dom.js";

/**
 * @param {{one: string, go: (index: number) => void}} options - what one picture is called; called
 *   when a person chooses another
 * @returns {{node: Element, show: (index: number, count: number) => void,
 *   limit: (first: number, last: number) => void, mark: (numbers: number[]) => void}}
 */
export function stepper({ one, go }) {
  const name = one[0].toUpperCase() + one.slice(1);
  const slider = element("input", {
    type: "range", min: 0, "aria-label": name, on: { input: () => go(Number(slider.value)) },
  });
  const number = element("input", {
    type: "number", min: 0, "aria-label": `Number of the ${one}`,
    on: { change: () => go(Number(number.value)) },
  });
  const range = element("span.quiet", {});
  const ticks = element("div.ticks", { "aria-hidden": "true" });
  const previous = iconButton("previous", `Previous ${one} (←)`, () => go(shown - 1));
  const next = iconButton("next", `Next ${one} (→)`, () => go(shown + 1));
  let shown = null;
  const node = element(
    "div.stepper",
    {},
    previous,
    element("div.rail", {}, ticks, slider),
    next,
    element("label.position", {}, number, range),
  );

  /** The slider goes over these only. */
  const limit = (first, last) => {
    slider.min = first;
    slider.max = last;
    slider.value = shown ?? first;
    node.style.setProperty("--first", first);
    node.style.setProperty("--steps", Math.max(last - first, 1));
  };

  /** Where it stands, and how many there are. */
  const show = (index, count) => {
    limit(0, count - 1);
    number.max = count - 1;
    slider.value = index;
    // Not while it stays: somebody may be typing.
    if (index !== shown) number.value = index;
    shown = index;
    range.textContent = `of 0 – ${count - 1}`;
    previous.disabled = index <= 0;
    next.disabled = index >= count - 1;
  };

  /** Which of them hold figures. A long video has thousands that do: neighbours share a tick. */
  const mark = (numbers) => {
    ticks.replaceChildren(
      ...runsOf(numbers).map(({ from, to }) => {
        const words = from === to ? `${name} ${from} has` : `${name}s ${from} – ${to} have`;
        const tick = element("span", { title: `${words} figures` });
        tick.style.setProperty("--at", from);
        tick.style.setProperty("--length", to - from);
        return tick;
      }),
    );
  };
  return { node, show, limit, mark };
}

/** Numbers that follow each other, together. */
function runsOf(numbers) {
  const runs = [];
  for (const number of [...numbers].sort((one, other) => one - other)) {
    const last = runs.at(-1);
    if (last?.to === number - 1) last.to = number;
    else runs.push({ from: number, to: number });
  }
  return runs;
}

/** The numbers of the places that hold figures: `{"frame:3": 1}` and "frame" give [3]. */
export function numbersOf(places, name) {
  return Object.keys(places)
    .filter((key) => key.startsWith(`${name}:`))
    .map((key) => Number(key.slice(name.length + 1)));
}
