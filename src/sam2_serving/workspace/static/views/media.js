// The list of media, a group for each dataset.

import { getMedia } from "../api.js";
import { element, icon } from "../dom.js";
import { keyOf, mediaOf, openPlace } from "../places.js";

const KINDS = ["images", "videos", "volumes", "photos"];
const BADGES = {
  image: () => null,
  photo: () => "photo",
  video: ({ frames }) => `${frames} frames`,
  volume: ({ planes }) => `${planes.axial.slices} slices`,
};

export function mountMedia(root, store) {
  const entries = new Map();

  // Hundreds of them are one stop of Tab; the arrows go from one to the next.
  let stop = null;
  const stopAt = (button) => {
    if (!button) return;
    if (stop) stop.tabIndex = -1;
    stop = button;
    button.tabIndex = 0;
  };
  const walk = (event) => {
    const all = [...entries.values()].map(({ button }) => button);
    const at = all.indexOf(document.activeElement);
    const steps = {
      ArrowLeft: at - 1, ArrowUp: at - 1, ArrowRight: at + 1, ArrowDown: at + 1,
      Home: 0, End: all.length - 1,
    };
    if (at < 0 || !(event.key in steps) || event.altKey || event.ctrlKey) return;
    event.preventDefault();
    event.stopPropagation(); // they would go through frames, too
    all[steps[event.key]]?.focus();
  };

  const entry = (medium, unfit) => {
    const count = element("span.count", { hidden: true });
    const done = element("span.done", { hidden: true, title: "Done", role: "img", "aria-label": "Done" }, icon("check"));
    const badge = unfit.length ? `not for ${unfit.join(", ")}` : BADGES[medium.kind](medium);
    const button = element(
      "button.thumb",
      { type: "button", tabIndex: -1, on: { click: () => openPlace(store, medium) } },
      element(
        "span.shot",
        {},
        element("img", { src: medium.thumbnail, alt: "", loading: "lazy", decoding: "async" }),
        ...(badge ? [element("span.badge", {}, badge)] : []),
      ),
      element("span.name", { title: medium.name }, medium.name),
      count,
      done,
    );
    entries.set(keyOf(medium), { button, count, done });
    return element("li", {}, button);
  };

  const group = (dataset) =>
    element(
      "section",
      { "aria-label": dataset.name },
      element("h2", {}, `${dataset.name} `, element("span.progress-of", { data: { dataset: dataset.id } })),
      ...(dataset.description ? [element("p.note", {}, dataset.description)] : []),
      element("ul.thumbs", {}, ...mediaOf(dataset).map((medium) => entry(medium, dataset.not_for))),
    );

  store.watch(["datasets"], ({ datasets }) => {
    entries.clear();
    root.replaceChildren(...datasets.map(group));
    if (!datasets.length) {
      const words = "This folder holds nothing to label: no images, videos or volumes.";
      root.append(element("p.note", {}, words));
    }
  });

  root.addEventListener("keydown", walk);
  root.addEventListener("focusin", ({ target }) => stopAt(target.closest(".thumb")));

  store.watch(["datasets", "medium"], ({ medium }) => {
    stopAt(entries.get(medium && keyOf(medium))?.button ?? [...entries.values()][0]?.button);
    for (const [key, { button }] of entries) {
      const open = medium !== null && key === keyOf(medium);
      button.setAttribute("aria-current", open);
      if (open) button.scrollIntoView({ block: "nearest" });
    }
  });

  store.watch(["datasets", "doneMarks"], ({ datasets }) => {
    for (const dataset of datasets) {
      const all = mediaOf(dataset);
      for (const one of all) entries.get(keyOf(one)).done.hidden = !one.done;
      const ready = all.filter(({ done }) => done).length;
      root.querySelector(`[data-dataset="${dataset.id}"]`).textContent = ready
        ? `${ready} of ${all.length} done`
        : "";
    }
  });

  const showCount = (medium) => {
    const { count } = entries.get(keyOf(medium)) ?? {};
    if (!count) return;
    const { figures } = medium;
    count.hidden = !figures;
    count.textContent = figures;
    count.title = figures === 1 ? "1 figure" : `${figures} figures`;
  };
  store.watch(["datasets"], ({ datasets }) => {
    for (const medium of datasets.flatMap(mediaOf)) showCount(medium);
  });
  store.watch(["places", "figures"], ({ medium, place, places, figures }) => {
    if (!medium || !places) return;
    const total = Object.values(places).reduce((sum, each) => sum + each, 0);
    medium.figures = place.places ? total : figures.length;
    showCount(medium);
  });
}

/** Fetch the list of media again: counts, and what came into the folder or left it. */
export async function listMedia(store) {
  const { datasets } = await getMedia();
  const known = new Map(store.get("datasets").flatMap(mediaOf).map((one) => [keyOf(one), one]));
  for (const dataset of datasets) {
    for (const kind of KINDS) {
      // The open medium has to be the listed one: what was listed before stays the same object.
      dataset[kind] = dataset[kind].map((one) => Object.assign(known.get(keyOf(one)) ?? {}, one));
    }
  }
  store.set({ datasets });
}
