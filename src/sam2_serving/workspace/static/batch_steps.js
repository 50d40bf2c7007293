// Steps of the Batched Smart Tool that undo takes back, and what is saved in one of them.

import { redoChange, undoChange } from "./api.js";
import { newRequestId } from "./smart_tool.js";
import { count } from "./words.js";

// One change of figures holds no more than this: each is done as a whole.
const MOST_FIGURES = 500;
const MOST_CHARACTERS = 16 << 20;

/** Prompts were changed, or cells left out. */
export class WorkStep {
  /** @param {{cell: Cell, before: object, after: object}[]} changes */
  constructor(changes) {
    this.changes = changes;
  }

  undo() {
    for (const { cell, before } of this.changes) Object.assign(cell, before);
  }

  redo() {
    for (const { cell, after } of this.changes) Object.assign(cell, after);
  }
}

/** Masks were saved: one or several changes of the workspace, undone one after the other. */
export class SaveStep {
  constructor() {
    this.parts = []; // {part, before, after, done}
  }

  get size() {
    return this.parts.reduce((sum, { part }) => sum + part.cells.length, 0);
  }

  get words() {
    return `Saved: ${count(this.size, "mask")}.`;
  }

  /** @param {number[]} added - ids of the figures that took the old ones' places, in order */
  add(part, added) {
    const before = part.cells.map(({ figure }) => figure);
    const after = part.change.add.map((made, index) => ({
      ...before[index],
      id: added[index],
      geometry: made.geometry,
    }));
    const entry = { part, before, after, done: false };
    this.parts.push(entry);
    this.settle(entry, true);
  }

  settle(entry, done) {
    entry.done = done;
    const figures = done ? entry.after : entry.before;
    // When it was changed last is not known until the figures are looked at again.
    entry.part.cells.forEach((cell, index) => cell.adopt({ ...figures[index], updatedAt: null }));
  }

  undo() {
    return this.set(false);
  }

  redo() {
    return this.set(true);
  }

  async set(done) {
    for (const entry of this.parts.filter((one) => one.done !== done)) {
      await (done ? redoChange : undoChange)(entry.part.change.key);
      this.settle(entry, done);
    }
  }

  /** How many figures are on the side that a way leads to. */
  partsDone(way) {
    const there = this.parts.filter(({ done }) => done === (way === "redo"));
    return there.reduce((sum, { part }) => sum + part.cells.length, 0);
  }
}

/** Cut what is to be saved into changes that one request can carry. */
export function* partsOf(cells) {
  let part = [];
  let characters = 0;
  for (const cell of cells) {
    const { length } = cell.answer.bitmap;
    if (part.length === MOST_FIGURES || (part.length && characters + length > MOST_CHARACTERS)) {
      yield partOf(part);
      [part, characters] = [[], 0];
    }
    part.push(cell);
    characters += length;
  }
  if (part.length) yield partOf(part);
}

function partOf(cells) {
  const change = {
    key: newRequestId(),
    remove: cells.map(({ figure }) => figure.id),
    add: cells.map(({ newFigure }) => newFigure),
  };
  return { cells, change };
}
