// Which frames of a video the timeline shows: all of them, or a part that is zoomed in to.

const LEAST = 10; // frames

export class Span {
  /** @param {(span: Span) => void} changed */
  constructor(changed) {
    Object.assign(this, { changed, count: 1, first: 0, size: 1 });
  }

  /** Show all of another video. */
  begin(count) {
    this.set(0, count, count);
  }

  get whole() {
    return this.size >= this.count;
  }

  get last() {
    return this.first + this.size - 1;
  }

  /** Zoom so that a frame stays where it is. */
  zoom(factor, frame) {
    const share = (frame - this.first) / this.size;
    const size = Math.round(Math.min(Math.max(this.size / factor, Math.min(LEAST, this.count)), this.count));
    this.set(Math.round(frame - share * size), size);
  }

  /** Show other frames, as many. */
  pan(frames) {
    this.set(this.first + frames, this.size);
  }

  /** Show a frame: go on page by page, as it does when a film is played. */
  reveal(frame) {
    if (frame > this.last) this.set(frame - Math.floor(this.size / 10), this.size);
    else if (frame < this.first) this.set(frame - Math.floor(0.9 * this.size), this.size);
  }

  set(first, size, count = this.count) {
    const bounded = Math.round(Math.min(Math.max(first, 0), count - size));
    if (bounded === this.first && size === this.size && count === this.count) return;
    Object.assign(this, { first: bounded, size, count });
    this.changed(this);
  }
}
