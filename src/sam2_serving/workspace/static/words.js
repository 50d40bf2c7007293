// Words for numbers of things.

/** "1 object", "2 objects"; `many` where an s is not enough. */
export const count = (number, one, many = `${one}s`) => `${number} ${number === 1 ? one : many}`;

/** A number of bytes, as people read it. */
export function sizeOf(bytes) {
  const powers = ["bytes", "KB", "MB", "GB", "TB"];
  const power = bytes < 1000 ? 0 : Math.min(Math.floor(Math.log10(bytes) / 3), powers.length - 1);
  const number = bytes / 1000 ** power;
  return `${power && number < 100 ? number.toFixed(1) : Math.round(number)} ${powers[power]}`;
}
