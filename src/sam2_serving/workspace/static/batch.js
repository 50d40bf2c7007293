// The Batched Smart Tool: many objects of one class, asked for, changed, saved and undone together.

import { getFiguresOfClass, makeChange } from "./api.js";
import { Cell } from "./batch_cell.js";
import { partsOf, SaveStep, WorkStep } from "./batch_steps.js";
import { newRequestId } from "./smart_tool.js";
import { count } from "./words.js";

/** The objects of a class on the images of a dataset, and what a person has done to them. */
export class Batch {
  /**
   * @param {object} dataset - as the workspace lists it
   * @param {number} classId
   * @param {App} app
   * @param {() => void} changed - called after every change
   */
  constructor(dataset, classId, app, changed) {
    Object.assign(this, { dataset, classId, app, changed });
    this.cells = [];
    this.past = []; // steps that undo takes back, the newest last
    this.future = [];
    this.busy = null; // what is going on, in words
    this.said = null; // {words, requestId, again, unserved}: how the last thing went
    this.unsettled = null; // a part that was sent to be saved, and no answer came
    this.adrift = null; // a step that was being undone or redone, and no answer came
    this.flight = null; // of the request to the app
    this.walked = Promise.resolve(); // when the last undo or redo is through
  }

  // What is there ---------------------------------------------------------------------------------

  /**
   * Look at the figures again: who is gone leaves, who is new joins, work stays.
   * While it is not known whether something was done, nothing is told apart by its figure.
   * @returns {Promise<{gone: Cell[], altered: Cell[]}>} who left, and whose figure somebody changed
   */
  async load() {
    if (this.unsettled || this.adrift) return { gone: [], altered: [] };
    const images = new Map(this.dataset.images.map((image) => [image.id, image]));
    const figures = await getFiguresOfClass(this.dataset.id, this.classId);
    const listed = new Map(figures.map((figure) => [figure.id, figure]));
    const gone = this.cells.filter(({ figure }) => !listed.has(figure.id));
    const altered = [];
    const cells = this.cells.filter(({ figure }) => listed.has(figure.id));
    for (const cell of cells) {
      const figure = listed.get(cell.figure.id);
      if (cell.figure.updatedAt && cell.figure.updatedAt !== figure.updatedAt) altered.push(cell);
      cell.adopt(figure);
      listed.delete(figure.id);
    }
    const others = [...listed.values()].filter(({ imageId }) => images.has(imageId));
    this.cells = [...cells, ...others.map((figure) => new Cell(figure, images.get(figure.imageId)))];
    this.changed();
    return { gone, altered };
  }

  /** The cells that count, of some states. */
  of(...states) {
    return this.cells.filter(({ excluded, state }) => !excluded && states.includes(state));
  }

  /** Those whose prompts the app has not answered as they are now. */
  get outdated() {
    return this.of("new", "changed");
  }

  get unsaved() {
    return this.unsettled !== null || this.cells.some((cell) => !cell.excluded && cell.unsaved);
  }

  /** @param {{requestId?: string, again?: Function, unserved?: boolean}} [more] */
  say(words, more = {}) {
    this.said = words ? { words, ...more } : null;
    this.changed();
  }

  // What the app is asked -------------------------------------------------------------------------

  /** Ask for the masks of some cells, all in one request. */
  async segment(cells) {
    if (this.busy || !cells.length) return;
    const asked = cells.map((cell) => ({ cell, key: cell.key, context: cell.context }));
    const images = new Set(cells.map(({ image }) => image.id)).size;
    const words = `Segmenting ${count(cells.length, "object")} on ${count(images, "image")}…`;
    await this.ask(words, cells, () => this.segment(cells), async (requestId, signal) => {
      const contexts = asked.map(({ context }) => context);
      const answers = await this.app.segmentMany(contexts, requestId, signal);
      asked.forEach(({ cell, key }, index) => cell.take(key, answers[index]));
      const without = answers.filter((answer) => !answer?.bitmap).length;
      this.say(without ? `${count(without, "object")} without a mask.` : null);
    });
  }

  /** Ask for one cell's mask alone: then the app says why there is none. */
  async retry(cell) {
    if (this.busy) return;
    const { key, context } = cell;
    await this.ask("Trying again…", [cell], () => this.retry(cell), async (requestId, signal) => {
      try {
        const found = await this.app.segment({ ...context, request_uid: requestId }, signal);
        cell.take(key, found, "Nothing was found there. Click on the object, or change the box.");
        this.say(null);
      } catch (error) {
        if (!signal.aborted) cell.take(key, null, error.message, requestId);
        throw error;
      }
    });
  }

  async ask(words, cells, again, work) {
    const flight = new AbortController();
    const requestId = newRequestId();
    this.flight = flight;
    this.wait(cells, true);
    this.begin(words);
    try {
      await work(requestId, flight.signal);
    } catch (error) {
      if (flight.signal.aborted) this.say("Cancelled.");
      else {
        const unserved = error.status === 503;
        this.say(error.message, { requestId: error.requestId ?? requestId, again, unserved });
      }
    }
    this.flight = null;
    this.wait(cells, false);
    this.end();
  }

  cancel() {
    this.flight?.abort();
  }

  wait(cells, waiting) {
    for (const cell of cells) cell.waiting = waiting;
  }

  begin(words) {
    this.busy = words;
    this.said = null;
    this.changed();
  }

  end() {
    this.busy = null;
    this.changed();
  }

  /** Another model answers now: what it would say is not known. */
  forgetAnswers() {
    for (const cell of this.cells) cell.forgetAnswers();
    this.changed();
  }

  // What a person does ----------------------------------------------------------------------------

  /** Give a cell other prompts. */
  prompt(cell, prompts) {
    if (JSON.stringify(prompts) !== cell.key) this.put([[cell, { ...cell.work, prompts }]]);
  }

  /** Leave cells out, or take them in again. */
  exclude(cells, excluded) {
    this.put(cells.map((cell) => [cell, { ...cell.work, excluded }]));
  }

  put(wishes) {
    if (!wishes.length) return;
    this.did(new WorkStep(wishes.map(([cell, after]) => ({ cell, before: cell.work, after }))));
  }

  did(step) {
    this.past.push(step);
    this.future = [];
    this.said = null;
    step.redo();
    this.changed();
  }

  undo() {
    return this.next(() => this.walk(this.past, this.future, "undo"));
  }

  redo() {
    return this.next(() => this.walk(this.future, this.past, "redo"));
  }

  /**
   * Whether the last of some steps can be gone now. Prompts can be changed, and so changed back,
   * while the app is asked: its answers know to which prompts they are.
   */
  canWalk(steps) {
    const step = steps.at(-1);
    return Boolean(step) && (!this.busy || (this.flight !== null && step instanceof WorkStep));
  }

  /** Steps follow each other, however fast the keys are pressed. */
  next(walk) {
    this.walked = this.walked.then(walk);
    return this.walked;
  }

  async walk(from, to, way) {
    const step = from.at(-1);
    if (!this.canWalk(from)) return;
    if (step instanceof WorkStep) {
      step[way]();
      to.push(from.pop());
      this.say(null);
      return;
    }
    this.begin(way === "undo" ? "Undoing…" : "Saving again…");
    try {
      await step[way]();
      this.adrift = null;
      to.push(from.pop());
      this.say(way === "undo" ? `Undone: ${count(step.size, "figure")} as before.` : step.words);
    } catch (error) {
      this.adrift = saysNo(error) ? null : step;
      const done = `${step.partsDone(way)} of ${count(step.size, "figure")}`;
      this.say(`Stopped after ${done}: ${error.message}`, { again: () => this[way]() });
    }
    await this.refresh();
    this.end();
  }

  // Saving ----------------------------------------------------------------------------------------

  /** Save the masks of all cells that have a new one; each takes the place of the cell's figure. */
  async save() {
    if (this.busy) return;
    this.begin("Saving…");
    const saved = new SaveStep();
    let problem = null;
    try {
      if (this.unsettled) await this.send(this.unsettled, saved);
      const { gone, altered } = await this.load();
      const cells = this.of("mask").filter((cell) => !altered.includes(cell));
      const wanted = saved.size + cells.length;
      if (gone.length || altered.length) problem = { words: wordsOfOthers(gone, altered) };
      for (const part of [...partsOf(cells)]) {
        this.busy = `Saving… ${saved.size} of ${wanted}`;
        this.changed();
        await this.send(part, saved);
      }
    } catch (error) {
      problem = { error };
    }
    if (saved.size) {
      this.past.push(saved);
      this.future = [];
    }
    await this.refresh();
    this.report(saved, problem);
    this.end();
  }

  /** Save a part. If no answer comes it stays unsettled, and is sent again as it was. */
  async send(part, saved) {
    this.unsettled = part;
    try {
      const { added } = await makeChange(part.change);
      this.unsettled = null;
      saved.add(part, added);
    } catch (error) {
      if (saysNo(error)) this.unsettled = null;
      throw error;
    }
  }

  report(saved, problem) {
    const outdated = this.of("changed").length;
    const later = outdated
      ? ` ${count(outdated, "changed object")} not: update the masks first.`
      : "";
    if (!problem?.error) {
      const others = problem ? ` ${problem.words}` : "";
      this.say((saved.size ? saved.words : "There was no new mask to save.") + later + others);
      return;
    }
    const { message, requestId } = problem.error;
    const unknown = this.unsettled?.cells.length ?? 0;
    const open = this.of("mask").filter((cell) => !this.unsettled?.cells.includes(cell)).length;
    const parts = [
      `Saved: ${saved.size}.`,
      ...(unknown ? [`Not known, for no answer came: ${unknown} (trying again saves none twice).`] : []),
      `Not saved: ${open}.`,
      message,
    ];
    this.say(parts.join(" "), { requestId, again: () => this.save() });
  }

  /** Look again; that this fails changes nothing of what was done. */
  async refresh() {
    await this.load().catch(() => {});
  }
}

/** Whether the workspace refused; otherwise it is not known what it did. */
const saysNo = ({ status }) => status >= 400 && status < 500;

function wordsOfOthers(gone, altered) {
  const parts = [];
  if (gone.length) parts.push(`${count(gone.length, "object")} gone: deleted elsewhere.`);
  if (altered.length) {
    parts.push(`${count(altered.length, "object")} changed elsewhere: save again to replace.`);
  }
  return parts.join(" ");
}
