// Brings files into the media folder, one after the other; a bad one is told and the others go on.

import { sendFile } from "./api.js";

const ENDINGS = new Set([
  "jpg", "jpeg", "png", "webp", "tif", "tiff", "bmp", "mp4", "avi", "mov", "webm", "mkv", "nrrd",
  "pcd", "ply", "las", "laz",
]);

/** Whether a file is of a kind that the workspace takes; others beside it are left out unasked. */
export const isMedium = ({ name }) =>
  !name.startsWith(".") && ENDINGS.has(name.split(".").at(-1).toLowerCase());

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

/** One import: what was sent, what was there already, what is wrong with which file. */
export class Import {
  /**
   * @param {{file: File, path: string}[]} files
   * @param {{dataset_id: number}|{folder: string}|{}} where - the dataset they come into
   * @param {(one: Import) => void} told - called when something has changed
   */
  constructor(files, where, told) {
    const media = files.filter(({ file }) => isMedium(file));
    Object.assign(this, { files: media, where, told });
    Object.assign(this, { others: files.length - media.length, done: 0, fresh: 0, known: 0 });
    this.problems = []; // sentences, each names its file
    this.bytes = media.reduce((sum, { file }) => sum + file.size, 0);
    this.sent = 0; // bytes of the files that are through, and of the one under way
    this.stopping = new AbortController();
    this.over = false;
  }

  async run() {
    let through = 0;
    for (const { file, path } of this.files) {
      if (this.stopping.signal.aborted) break;
      const progress = (bytes) => { this.sent = through + Math.min(bytes, file.size); this.told(this); };
      try {
        const { new: fresh } = await sendFile(file, { path, ...this.where }, progress, this.stopping.signal);
        if (fresh) this.fresh += 1;
        else this.known += 1;
      } catch (error) {
        if (this.stopping.signal.aborted) break;
        this.problems.push(error.message.includes(file.name) ? error.message : `${path}: ${error.message}`);
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
