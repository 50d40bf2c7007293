// Smaller copies of a large picture, so that a frame that shows it small does not read every pixel.

const LARGE_PX = 4_000_000; // a smaller picture is drawn as it is
const REST_MS = 150; // frames of a film that is played are gone before

export class Levels {
  /**
   * @param {ImageBitmap} picture
   * @param {() => void} changed - there is another copy
   */
  constructor(picture, changed) {
    Object.assign(this, { picture, changed, copies: [picture], closed: false });
    this.large = picture.width * picture.height > LARGE_PX;
    if (this.large) setTimeout(() => this.make(), REST_MS);
  }

  /** Each copy is half as wide as the one before it; made one after the other, off this thread. */
  async make() {
    if (this.closed) return;
    for (let last = this.picture; last.width > 1024; last = this.copies.at(-1)) {
      const size = { resizeWidth: Math.ceil(last.width / 2), resizeHeight: Math.ceil(last.height / 2) };
      const copy = await createImageBitmap(last, { ...size, resizeQuality: "medium" }).catch(() => null);
      if (this.closed || !copy) {
        copy?.close();
        return;
      }
      this.copies.push(copy);
      this.changed();
    }
  }

  /** The smallest copy that has a pixel for each pixel of the screen, of those that are made. */
  at(scale) {
    const wanted = Math.floor(-Math.log2(Math.min(scale, 1)));
    return this.copies[Math.min(wanted, this.copies.length - 1)];
  }

  close() {
    this.closed = true;
    for (const copy of this.copies) copy.close?.();
  }
}
