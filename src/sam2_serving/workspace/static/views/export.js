// The Export panel: figures as a zip. Exports go on when the panel is closed or the page is left.

import { exportFile, getExports, removeExport, startExport } from "../api.js";
import { element, iconButton } from "../dom.js";
import { sizeOf } from "../words.js";

const FORMS = [
  ["coco", "COCO", "One annotations.json with run-length codes: every pixel exact. Frames and slices are images."],
  ["supervisely", "Supervisely project", "Opens with the SDK: images, videos and volumes, each a project of its own."],
  ["masks", "Mask PNGs", "One black and white picture for each figure, and a table."],
];
const WITH_MEDIA = new Set(["supervisely"]); // what is of no use without
const EVERY_MS = 500;

/**
 * @param {HTMLDialogElement} dialog
 * @param {HTMLButtonElement} button - opens it
 * @param {(words: string) => void} speak
 */
export function mountExport(dialog, button, store, speak) {
  const panel = build(dialog);
  const seen = new Map(); // key -> state, to say what has ended
  let timer = null;

  const poll = async () => {
    clearTimeout(timer);
    try {
      const exports = await getExports();
      tell(exports);
      show(exports);
      if (exports.some(isUnderWay)) timer = setTimeout(poll, EVERY_MS);
    } catch (error) {
      fail(error);
      timer = setTimeout(poll, 4 * EVERY_MS);
    }
  };

  const tell = (exports) => {
    for (const one of exports) {
      if (seen.has(one.key) && isUnderWay({ state: seen.get(one.key) }) && !isUnderWay(one)) {
        speak(`${one.name}: ${wordsOf(one)}`);
      }
      seen.set(one.key, one.state);
    }
  };

  const fail = ({ message }) => {
    panel.problem.textContent = message;
    panel.problem.hidden = false;
  };

  const tried = async (action) => {
    panel.problem.hidden = true;
    try {
      await action();
    } catch (error) {
      fail(error);
    }
    await poll();
  };

  const rows = new Map(); // key -> entry of the list
  const show = (exports) => {
    for (const [key, { node }] of rows) {
      if (exports.some((one) => one.key === key)) continue;
      if (node.contains(document.activeElement)) panel.start.focus();
      node.remove();
      rows.delete(key);
    }
    for (const one of [...exports].reverse()) {
      if (!rows.has(one.key)) {
        rows.set(one.key, row(one, () => tried(() => removeExport(one.key))));
        panel.list.prepend(rows.get(one.key).node);
      }
      rows.get(one.key).show(one);
    }
    panel.list.hidden = !exports.length;
  };

  const chooseForm = () => { panel.media.checked = WITH_MEDIA.has(formOf(panel)); };
  panel.forms.addEventListener("change", chooseForm);
  panel.start.addEventListener("click", () => tried(() => startExport({
    form: formOf(panel),
    dataset_id: Number(panel.dataset.value) || null,
    media: panel.media.checked,
  })));
  store.watch(["datasets"], ({ datasets }) => {
    const before = panel.dataset.value;
    const option = ({ id, name }) => element("option", { value: id }, name);
    panel.dataset.replaceChildren(option({ id: "", name: "All datasets" }), ...datasets.map(option));
    panel.dataset.value = datasets.some(({ id }) => String(id) === before) ? before : "";
  });
  button.addEventListener("click", () => {
    panel.problem.hidden = true;
    dialog.showModal();
    poll();
  });
  dialog.addEventListener("close", () => button.focus());
}

const isUnderWay = ({ state }) => state === "waiting" || state === "running";
const formOf = ({ forms }) => forms.querySelector("input:checked").value;

function wordsOf({ state, done, total, problem, size }) {
  if (state === "running" && total) return `${Math.floor((100 * done) / total)} %`;
  return {
    waiting: "waits", running: "begins", cancelled: "cancelled",
    failed: `failed: ${problem}`, finished: size === null ? "" : sizeOf(size),
  }[state];
}

/** One export in the list: how far it is, and what can be done with it. */
function row({ key, name }, remove) {
  const bar = element("progress", { "aria-label": `Progress of ${name}` });
  const words = element("span.quiet", {});
  const download = element("a.button", { href: exportFile(key), download: name }, "Download");
  const cancel = element("button", { type: "button", on: { click: remove } }, "Cancel");
  const away = iconButton("cross", `Take ${name} away`, remove);
  const left = element("ul", {});
  const more = element("details.left", {}, element("summary", {}, ""), left);
  const node = element(
    "li", {}, element("span.name", { title: name }, name), bar, words, download, cancel, away, more,
  );
  const show = (one) => {
    const busy = isUnderWay(one);
    if (busy && one.total) Object.assign(bar, { max: one.total, value: one.done });
    else bar.removeAttribute("value");
    bar.hidden = !busy;
    words.textContent = wordsOf(one);
    node.dataset.state = one.state;
    download.hidden = one.state !== "finished";
    cancel.hidden = !busy;
    away.hidden = busy;
    more.hidden = busy || !one.warnings.length;
    const count = one.warnings.length;
    more.firstChild.textContent = count === 1 ? "1 thing was left out" : `${count} things were left out`;
    if (!more.hidden && !left.children.length) {
      left.append(...one.warnings.map((sentence) => element("li", {}, sentence)));
    }
  };
  return { node, show };
}

function build(dialog) {
  const form = ([value, name, about], index) => element(
    "label.form", {},
    element("input", { type: "radio", name: "export-form", value, checked: index === 0 }),
    element("span", {}, name),
    element("small", {}, about),
  );
  const panel = {
    forms: element("fieldset.forms", {}, element("legend", {}, "Format"), ...FORMS.map(form)),
    dataset: element("select", { id: "export-dataset" }),
    media: element("input", { type: "checkbox", id: "export-media" }),
    start: element("button.primary", { type: "button" }, "Export"),
    problem: element("p.problem", { role: "alert", hidden: true }),
    list: element("ul.transfers", { "aria-label": "Exports", hidden: true }),
  };
  dialog.append(
    element(
      "header", {},
      element("h2", { id: "export-title" }, "Export figures"),
      iconButton("cross", "Close", () => dialog.close()),
    ),
    panel.forms,
    element(
      "div.line", {},
      element("label", { htmlFor: "export-dataset" }, "Of"), panel.dataset,
      element("label", { htmlFor: "export-media" }, panel.media, " with images, videos and volumes"),
      element("span.space", {}), panel.start,
    ),
    panel.problem,
    panel.list,
  );
  return panel;
}
