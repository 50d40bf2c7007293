// The list of media, a group for each dataset.

import { element } from "../dom.js";
import { keyOf, mediaOf, openPlace } from "../places.js";

const BADGES = {
  image: () => null,
  photo: () => "photo",
  video: ({ frames }) => `${frames} frames`,
  volume: ({ planes }) => `${planes.axial.slices} slices`,
};

export function mountMedia(root, store) {
  const entries = new Map();

  const entry = (medium, unfit) => {
    const count = element("span.count", { hidden: true });
    const badge = unfit.length ? `not for ${unfit.join(", ")}` : BADGES[medium.kind](medium);
    const button = element(
      "button.thumb",
      { type: "button", on: { click: () => openPlace(store, medium) } },
      element(
        "span.shot",
        {},
        element("img", { src: medium.thumbnail, alt: "", loading: "lazy", decoding: "async" }),
        ...(badge ? [element("span.badge", {}, badge)] : []),
      ),
      element("span.name", { title: medium.name }, medium.name),
      count,
    );
    entries.set(keyOf(medium), { button, count });
    return element("li", {}, button);
  };

  const group = (dataset) =>
    element(
      "section",
      { "aria-label": dataset.name },
      element("h2", {}, dataset.name),
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

  store.watch(["datasets", "medium"], ({ medium }) => {
    for (const [key, { button }] of entries) {
      const open = medium !== null && key === keyOf(medium);
      button.setAttribute("aria-current", open);
      if (open) button.scrollIntoView({ block: "nearest" });
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
  store.watch(["places"], ({ medium, place, places, figures }) => {
    if (!medium || !places) return;
    const total = Object.values(places).reduce((sum, each) => sum + each, 0);
    medium.figures = place.places ? total : figures.length;
    showCount(medium);
  });
}
