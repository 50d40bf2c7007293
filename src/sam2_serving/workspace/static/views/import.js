// The Import panel, and files that are dropped on the page.

import { element, iconButton } from "../dom.js";
import { Import, chosen, dropped } from "../importing.js";
import { mediaOf, openPlace } from "../places.js";
import { count, sizeOf } from "../words.js";
import { listMedia } from "./media.js";

const NEW = "new";

/**
 * @param {HTMLDialogElement} dialog
 * @param {HTMLButtonElement} button - opens it
 * @param {{speak: (words: string) => void, changes: Changes}} tools
 */
export function mountImport(dialog, button, store, { speak, changes }) {
  const panel = build(dialog);
  let current = null; // the import that runs, or the last one

  const where = () => {
    const { value } = panel.dataset;
    if (value !== NEW) return value ? { dataset_id: Number(value) } : {};
    const folder = panel.folder.value.trim();
    return folder ? { folder } : {};
  };

  const begin = async (files) => {
    if (current && !current.over) {
      panel.problem.textContent = "An import is under way; wait for its end, or stop it.";
      panel.problem.hidden = false;
      return;
    }
    panel.problem.hidden = true;
    const one = new Import(files, where(), (told) => { if (told === current) show(panel, told); });
    current = one;
    show(panel, one);
    await one.run();
    speak(wordsOf(one));
    if (one.fresh) await showNew();
    for (const key of one.keys) {
      await changes.happened(`Import of ${count(one.figures, "figure")}`, key).catch(() => {});
    }
  };

  /** List what came, and open the first of it if nothing was open. */
  const showNew = async () => {
    try {
      await listMedia(store);
      const [first] = store.get("datasets").flatMap(mediaOf);
      if (!store.get("place") && first) openPlace(store, first);
    } catch (error) {
      panel.problem.textContent = `The list is not up to date: ${error.message}`;
      panel.problem.hidden = false;
    }
  };

  const open = () => { if (!dialog.open) dialog.showModal(); };
  button.addEventListener("click", open);
  dialog.addEventListener("close", () => button.focus());
  panel.stop.addEventListener("click", () => current?.stop());
  for (const [chooser, opener] of [[panel.files, panel.chooseFiles], [panel.tree, panel.chooseFolder]]) {
    opener.addEventListener("click", () => chooser.click());
    chooser.addEventListener("change", () => {
      begin(chosen(chooser.files));
      chooser.value = ""; // the same files may be chosen again
    });
  }
  panel.dataset.addEventListener("change", () => {
    panel.naming.hidden = panel.dataset.value !== NEW;
    if (!panel.naming.hidden) panel.folder.focus();
  });
  store.watch(["datasets"], ({ datasets, session }) => {
    const before = panel.dataset.value;
    const option = (value, words) => element("option", { value }, words);
    const options = datasets.filter(({ name }) => name !== session?.project);
    panel.dataset.replaceChildren(
      option("", "The media folder"),
      ...options.map(({ id, name }) => option(id, name)),
      option(NEW, "A new dataset…"),
    );
    if ([...panel.dataset.options].some(({ value }) => value === before)) panel.dataset.value = before;
  });
  bindDrop(async (transfer) => {
    const files = dropped(transfer); // at once: the event takes its files with it
    open();
    begin(await files);
  });
  addEventListener("beforeunload", (event) => { if (current && !current.over) event.preventDefault(); });
}

/** Files that are dragged over the page may be dropped anywhere on it. */
function bindDrop(take) {
  const zone = element("div.drop", { hidden: true }, "Drop files or folders to import them");
  document.body.append(zone);
  const holdsFiles = ({ dataTransfer }) => dataTransfer?.types.includes("Files");
  const over = (event) => {
    if (!holdsFiles(event)) return;
    event.preventDefault(); // otherwise the browser leaves the page and opens the file
    // A dialog lies over everything else.
    (document.querySelector("dialog[open]") ?? document.body).append(zone);
    zone.hidden = false;
  };
  addEventListener("dragenter", over);
  addEventListener("dragover", over);
  addEventListener("dragleave", (event) => { if (!event.relatedTarget) zone.hidden = true; });
  addEventListener("drop", (event) => {
    if (!holdsFiles(event)) return;
    event.preventDefault();
    zone.hidden = true;
    take(event.dataTransfer);
  });
}

function wordsOf({ files, others, fresh, known, figures, problems, over, done }) {
  if (!over) return files.length ? `${done} of ${count(files.length, "file")}` : "Looking at the files";
  if (!files.length && !problems.length) return "None of these is an image, a video or a volume that can be shown here.";
  const refused = files.length - fresh - known;
  const whole = !files.some(({ annotated }) => annotated);
  return [
    `${count(fresh, "file")} imported`,
    ...(known ? [`${known} there already`] : []),
    ...(figures ? [count(figures, "figure")] : []),
    ...(problems.length ? [whole ? `${problems.length} not taken` : "not all was taken"] : []),
    ...(done < files.length && !(whole && refused <= problems.length) ? ["stopped"] : []),
    ...(others ? [`${count(others, "other file")} left out`] : []),
  ].join(" · ");
}

function show(panel, one) {
  const { over, bytes, sent, problems } = one;
  panel.state.hidden = false;
  panel.bar.hidden = over;
  panel.stop.hidden = over;
  panel.bar.max = Math.max(bytes, 1);
  panel.bar.value = sent;
  panel.words.textContent = over ? wordsOf(one) : `${wordsOf(one)} · ${sizeOf(sent)} of ${sizeOf(bytes)}`;
  const shown = panel.problems.children.length;
  if (shown > problems.length) panel.problems.replaceChildren();
  panel.problems.append(
    ...problems.slice(panel.problems.children.length).map((sentence) => element("li", {}, sentence)),
  );
  panel.problems.hidden = !problems.length;
}

function build(dialog) {
  const hidden = { type: "file", multiple: true, hidden: true };
  const panel = {
    dataset: element("select", { id: "import-dataset" }),
    folder: element("input", { type: "text", id: "import-folder", maxLength: 200 }),
    chooseFiles: element("button.primary", { type: "button" }, "Choose files"),
    chooseFolder: element("button", { type: "button" }, "Choose a folder"),
    files: element("input", { ...hidden, "aria-label": "Files" }),
    tree: element("input", { ...hidden, webkitdirectory: true, "aria-label": "Folder" }),
    bar: element("progress", { "aria-label": "Progress of the import" }),
    words: element("span", {}),
    stop: element("button", { type: "button" }, "Stop"),
    problems: element("ul.problem.list", { role: "alert", hidden: true }),
    problem: element("p.problem", { role: "alert", hidden: true }),
  };
  panel.naming = element(
    "span.line", { hidden: true }, element("label", { htmlFor: "import-folder" }, "Name"), panel.folder,
  );
  panel.state = element("div.line.state", { hidden: true }, panel.bar, panel.words, panel.stop);
  dialog.append(
    element(
      "header", {},
      element("h2", { id: "import-title" }, "Import media"),
      iconButton("cross", "Close", () => dialog.close()),
    ),
    element(
      "p.note", {},
      "Images, videos, volumes (nrrd) and point clouds are copied into the media folder; nothing there is overwritten. "
      + "Folders become datasets. With figures: a Supervisely project or images with a COCO file, as a folder or a zip. "
      + "Everything can also be dropped anywhere on the page.",
    ),
    element(
      "div.line", {},
      element("label", { htmlFor: "import-dataset" }, "Into"), panel.dataset, panel.naming,
    ),
    element("div.line", {}, panel.chooseFiles, panel.chooseFolder, panel.files, panel.tree),
    panel.state,
    panel.problem,
    panel.problems,
  );
  return panel;
}
