// The list of images, a group for each dataset.

import { element } from "../dom.js";

export function mountMedia(root, store) {
  const entries = new Map();

  const entry = (image) => {
    const count = element("span.count", { hidden: true });
    const button = element(
      "button.thumb",
      { type: "button", data: { image: image.id }, on: { click: () => store.set({ image }) } },
      element("img", { src: image.thumbnail, alt: "", loading: "lazy", decoding: "async" }),
      element("span.name", { title: image.name }, image.name),
      count,
    );
    entries.set(image.id, { button, count });
    return element("li", {}, button);
  };

  const group = (dataset) =>
    element(
      "section",
      { "aria-label": dataset.name },
      element("h2", {}, dataset.name),
      ...(dataset.description ? [element("p.note", {}, dataset.description)] : []),
      element("ul.thumbs", {}, ...dataset.images.map(entry)),
    );

  store.watch(["datasets"], ({ datasets }) => {
    entries.clear();
    root.replaceChildren(...datasets.map(group));
    if (!datasets.length) {
      root.append(element("p.note", {}, "This folder holds no images (jpg, png, webp, tif, bmp)."));
    }
  });

  store.watch(["datasets", "image"], ({ image }) => {
    for (const [id, { button }] of entries) {
      const open = id === image?.id;
      button.setAttribute("aria-current", open);
      if (open) button.scrollIntoView({ block: "nearest" });
    }
  });

  const showCount = (id, figures) => {
    const { count } = entries.get(id) ?? {};
    if (!count) return;
    count.hidden = !figures;
    count.textContent = figures;
    count.title = figures === 1 ? "1 figure" : `${figures} figures`;
  };
  store.watch(["datasets"], ({ datasets }) => {
    for (const { images } of datasets) for (const { id, figures } of images) showCount(id, figures);
  });
  store.watch(["figures"], ({ image, figures }) => {
    if (!image || !figures) return;
    image.figures = figures.length;
    showCount(image.id, figures.length);
  });
}
