// Files put into one zip, as they are: a folder with annotations is sent whole. (Nothing is
// compressed: media are already.) The format: https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT

const MOST_BYTES = 2 ** 32 - 2 ** 24; // more needs another kind of zip
const MOST_FILES = 65_000;
const UTF8 = 0x0800;
const DAY_ONE = 0x0021; // the first day that the format knows

const TABLE = Uint32Array.from({ length: 256 }, (_, index) => {
  let value = index;
  for (let bit = 0; bit < 8; bit += 1) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  return value;
});

/**
 * @param {{file: File, path: string}[]} files
 * @param {AbortSignal} signal
 * @returns {Promise<Blob>}
 */
export async function zipOf(files, signal) {
  const total = files.reduce((sum, { file }) => sum + file.size, 0);
  if (total > MOST_BYTES || files.length > MOST_FILES) {
    throw new Error("This folder is too large to be sent at once: import it in parts.");
  }
  const parts = [];
  const entries = [];
  let at = 0;
  for (const { file, path } of files) {
    signal.throwIfAborted();
    const name = new TextEncoder().encode(path);
    const about = [20, UTF8, 0, 0, DAY_ONE, await checksumOf(file), file.size, file.size, name.length, 0];
    const head = fields("2222244422", about);
    parts.push(fields("4", [0x04034b50]), head, name, file);
    entries.push(fields("42", [0x02014b50, 20]), head, fields("22244", [0, 0, 0, 0, at]), name);
    at += 4 + head.length + name.length + file.size;
  }
  const size = entries.reduce((sum, part) => sum + part.length, 0);
  const end = fields("42222442", [0x06054b50, 0, 0, files.length, files.length, size, at, 0]);
  return new Blob([...parts, ...entries, end]);
}

/** Numbers of 2 or 4 bytes, the lowest first. */
function fields(widths, values) {
  const bytes = new Uint8Array([...widths].reduce((sum, width) => sum + Number(width), 0));
  const view = new DataView(bytes.buffer);
  let at = 0;
  values.forEach((value, index) => {
    const width = Number(widths[index]);
    view[width === 2 ? "setUint16" : "setUint32"](at, value, true);
    at += width;
  });
  return bytes;
}

async function checksumOf(file) {
  let sum = 0xffffffff;
  const reader = file.stream().getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return (sum ^ 0xffffffff) >>> 0;
    for (const byte of value) sum = TABLE[(sum ^ byte) & 0xff] ^ (sum >>> 8);
  }
}
