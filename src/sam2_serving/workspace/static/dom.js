// Small helpers to build elements.

/**
 * Make an element.
 * @param {string} tag - name, with classes after dots: "button.primary"
 * @param {object} properties - DOM properties; `on` holds listeners, `data` the data attributes,
 *   names with a dash become attributes
 * @param {...(Node|string)} children
 */
export function element(tag, properties = {}, ...children) {
  const [name, ...classes] = tag.split(".");
  const node = document.createElement(name);
  if (classes.length) node.classList.add(...classes);
  for (const [key, value] of Object.entries(properties)) {
    if (key === "on") {
      for (const [event, listener] of Object.entries(value)) node.addEventListener(event, listener);
    } else if (key === "data") {
      Object.assign(node.dataset, value);
    } else if (key.includes("-") || key === "role") {
      node.setAttribute(key, value);
    } else {
      node[key] = value;
    }
  }
  node.append(...children);
  return node;
}

/** A button that shows an icon; `label` is its tooltip and its name for assistive technology. */
export function iconButton(name, label, onClick, classes = "") {
  const button = element(`button.icon${classes}`, {
    type: "button",
    title: label,
    "aria-label": label.replace(/ \(.*\)$/, ""),
    on: { click: onClick },
  });
  button.append(icon(name));
  return button;
}

const PATHS = {
  check: "M4 12.5l5 5L20 6.5",
  veiled: "M4 4l16 16M9.500 6c.8-.3 1.600-.5 2.500-.5 3.500 0 7 2 9.500 6.500-.8 1.500-1.800 2.700-2.900 3.700M6 7.800C4.700 8.900 3.500 10.300 2.500 12c2.500 4.500 6 6.500 9.500 6.500 1.300 0 2.600-.3 3.800-.8",
  locked: "M6 11h12v9H6zM8.500 11V8a3.500 3.500 0 0 1 7 0v3",
  unlocked: "M6 11h12v9H6zM8.500 11V8a3.500 3.500 0 0 1 6.800-1.200",
  cross: "M6 6l12 12M18 6L6 18",
  undo: "M9 7L4.5 11.5 9 16M5 11.5h9a5.5 5.5 0 0 1 0 11h-3",
  redo: "M15 7l4.5 4.5L15 16M19 11.5h-9a5.5 5.5 0 0 0 0 11h3",
  trash: "M5 7h14M10 7V4.5h4V7M7 7l1 13h8l1-13M10.5 11v5.5M13.5 11v5.5",
  plus: "M12 5v14M5 12h14",
  minus: "M5 12h14",
  previous: "M14.5 5.5L8 12l6.5 6.5",
  next: "M9.5 5.5L16 12l-6.5 6.5",
  play: "M8 5l11 7-11 7z",
  pause: "M9 5v14M15 5v14",
  pencil: "M4.5 19.5l1-4.5L16 4.5l3.5 3.5L9 18.5zM13.5 7l3.5 3.5",
  wand: "M5 19L15 9M13 4.5v3M18.5 10h3M16.8 6.2l2-2M11 6l-1.6-1.6M17 13l1.6 1.6",
  box: "M5 6.5h14v11H5zM5 6.5h.01M19 6.5h.01M5 17.5h.01M19 17.5h.01",
  many: "M4.5 5h6v6h-6zM13.5 5h6v6h-6zM4.5 14h6v6h-6zM13.5 14h6v6h-6z",
  colors: "M12 4a8 8 0 1 0 0 16c1.4 0 1.9-.9 1.6-1.8-.5-1.4.3-2.7 1.9-2.7H17a3 3 0 0 0 3-3C20 7.900 16.400 4 12 4zM8 11h.01M12 8h.01M16 11h.01",
  planes: "M4 5h10v14H4zM16.500 5H20v6h-3.500zM16.500 13.500H20V19h-3.500z",
  "cross-hair": "M12 3v6M12 15v6M3 12h6M15 12h6M12 12h.01",
  more: "M6 12h.01M12 12h.01M18 12h.01",
  eye: "M2.500 12c2.500-4.400 5.700-6.500 9.500-6.500s7 2.100 9.500 6.500c-2.500 4.400-5.700 6.500-9.500 6.500s-7-2.100-9.500-6.500zM12 9.200a2.800 2.800 0 1 0 .01 0",
  sliders: "M4 7h8M16 7h4M14 4.800v4.400M4 12h2M10 12h10M8 9.800v4.400M4 17h9M17 17h3M15 14.800v4.400",
  keys: "M3 6.500h18v11H3zM6.500 10h.01M10 10h.01M13.500 10h.01M17 10h.01M7.500 14h9",
  half: "M12 4a8 8 0 1 0 .01 0M12 4v16M14 6v12M16 7.500v9M18 10v4",
  sun: "M12 8a4 4 0 1 0 .01 0M12 2.500v2M12 19.500v2M2.500 12h2M19.500 12h2M5.300 5.300l1.400 1.400M17.300 17.300l1.400 1.400M5.300 18.700l1.400-1.400M17.300 6.700l1.400-1.400",
  moon: "M19.500 14.500A8 8 0 0 1 9.500 4.500a8 8 0 1 0 10 10z",
  done: "M12 3.500a8.500 8.500 0 1 0 .01 0M8 12.200l2.800 2.800L16 9.500",
  fit: "M4 9V4h5M20 9V4h-5M4 15v5h5M20 15v5h-5",
};

/** An inline SVG icon, drawn in the colour of the text. */
export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", PATHS[name]);
  svg.append(path);
  return svg;
}
