// Brings files into the media folder, one after the other; a bad one is told and the others go on.

import { sendAnnotated, sendFile } from "./api.js";
import { newRequestId } from "./smart_tool.js";
import { zipOf } from "./zipping.js";

const ENDINGS = new Set([
  "jpg", "jpeg", "png", "webp", "tif", "tiff", "bmp", "mp4", "avi", "mov", "webm", "mkv", "nrrd",
  "pcd", "ply", "las", "laz",
]);

const START_BYTES = 1 << 20; // of a JSON file, to see what it is

/** Whether a file is of a kind that the workspace takes; others beside it are left out unasked. */
export const isMedium = ({ name }) =>
  !name.startsWith(".") && ENDINGS.has(name.split(".").at(-1).toLowerCase());

const isZip = ({ name }) => name.toLowerCase().endsWith(".zip");

/** Whether files that were chosen together are a project of the platform, or have a COCO file. */
async function areAnnotated(files) {
  if (files.some(({ path }) => path.split("/").at(-1) === "meta.json")) return true;
  for (const { file, path } of files) {
    if (!path.toLowerCase().endsWith(".json") || path.split("/").length > 3) continue;
    const start = await file.slice(0, START_BYTES).text();
    if (/"(images|annotations|categories)"\s*:/.test(start)) return true;
  }
  return false;
}

/**
 * The files that were dropped, with their paths in the folders that were dropped.
 * @param {DataTransfer} transfer - of the event: it is empty when the event is over
 * @returns {Promise<{file: File, path: string}[]>}
 */
export async function dropped(transfer) {
  const found = [...transfer.items].filter(({ kind }) => kind === "file").map((item) => {
    const entry = item.webkitGetAsEntry?.();
    const file = item.getAsFile(); // where there is no entry, there are no folders either
    return entry ? filesIn(entry) : [{ file, path: file.name }];
  });
  return (await Promise.all(found)).flat();
}

async function filesIn(entry) {
  if (entry.isFile) {
    const file = await new Promise((found, failed) => { entry.file(found, failed); });
    return [{ file, path: entry.fullPath.slice(1) }];
  }
  const reader = entry.createReader();
  const files = [];
  for (;;) { // a reader gives a hundred at a time
    const some = await new Promise((found, failed) => { reader.readEntries(found, failed); });
    if (!some.length) return files;
    for (const one of some) files.push(...(await filesIn(one)));
  }
}

/** The files of a file chooser; those of a folder have paths in it. */
export const chosen = (files) =>
  [...files].map((file) => ({ file, path: file.webkitRelativePath || file.name }));

/**
 * One import: what was sent, what was there already, what is wrong with which file. Zips, and files
 * that come with annotations, go as one; what is in them is counted when they are through.
 */
export class Import {
  /**
   * @param {{file: File, path: string}[]} files
   * @param {{dataset_id: number}|{folder: string}|{}} where - the dataset they come into
   * @param {(one: Import) => void} told - called when something has changed
   */
  constructor(files, where, told) {
    Object.assign(this, { chosen: files, where, told, files: [], others: 0, bytes: 0 });
    Object.assign(this, { done: 0, fresh: 0, known: 0, figures: 0 });
    this.keys = []; // of the changes that brought figures
    this.problems = []; // sentences, each names its file
    this.sent = 0; // bytes of the files that are through, and of the one under way
    this.stopping = new AbortController();
    this.over = false;
  }

  /** See what is to be sent. */
  async sort() {
    const { chosen: files, stopping: { signal } } = this;
    const zips = files.filter(({ file }) => isZip(file));
    const rest = files.filter((one) => !zips.includes(one));
    let media = rest.filter(({ file }) => isMedium(file));
    this.others = rest.length - media.length;
    if (await areAnnotated(rest)) {
      const file = await zipOf(rest.filter(({ path }) => !/(^|\/)\./.test(path)), signal);
      media = [{ file, path: rest[0].path.split("/")[0], annotated: true }];
      this.others = 0;
    }
    this.files = [...media, ...zips.map((one) => ({ ...one, annotated: true }))];
    this.bytes = this.files.reduce((sum, { file }) => sum + file.size, 0);
  }

  /** Send a file, or a zip with annotations; count what came of it. */
  async send({ file, path, annotated }, progress) {
    const { signal } = this.stopping;
    if (!annotated) {
      const { new: fresh } = await sendFile(file, { path, ...this.where }, progress, signal);
      if (fresh) this.fresh += 1;
      else this.known += 1;
      return;
    }
    const key = newRequestId();
    const { media, known, figures, warnings } =
      await sendAnnotated(file, { key, ...this.where }, progress, signal);
    this.fresh += media;
    this.known += known;
    this.figures += figures;
    if (figures) this.keys.push(key);
    this.problems.push(...warnings);
  }

  async run() {
    try {
      await this.sort();
      this.told(this);
    } catch (error) {
      if (!this.stopping.signal.aborted) this.problems.push(error.message);
    }
    let through = 0;
    for (const one of this.files) {
      const { file, path } = one;
      if (this.stopping.signal.aborted) break;
      const progress = (bytes) => { this.sent = through + Math.min(bytes, file.size); this.told(this); };
      try {
        await this.send(one, progress);
      } catch (error) {
        if (this.stopping.signal.aborted) break;
        this.problems.push(file.name && error.message.includes(file.name) ? error.message : `${path}: ${error.message}`);
        if (error.status === 0) break; // nobody answers: the next would not come through either
      }
      through += file.size;
      this.done += 1;
      progress(0);
    }
    this.over = true;
    this.told(this);
  }

  stop() {
    this.stopping.abort();
  }
}
