// The keys of the page: one table, which decides what a key does and is what the help shows.

const TYPED = "input[type=text], input[type=number], textarea";
const PRESSED = "button, a[href], summary, input[type=checkbox], input[type=radio]";
const HAS_ARROWS = "input[type=range], input[type=radio]";

/**
 * `keys` are what people press, `words` what it does. `act` does it, with the actions of the page;
 * a row without one is about the mouse, or a part of the page that listens itself. `repeats`: it
 * goes on while the key is held.
 */
export const KEYS = [
  {
    title: "Mouse on the picture",
    rows: [
      { keys: ["drag"], words: "Draw a box; its corners, sides and edge change it" },
      { keys: ["click", "Shift+click"], words: "This, not this" },
      { keys: ["Alt+click"], words: "Remove a click" },
      { keys: ["wheel", "right drag"], words: "Zoom, pan" },
      { keys: ["right click"], words: "Menu of a figure, or class of the next one" },
      { keys: ["Shift+wheel"], words: "Through frames or slices" },
    ],
  },
  {
    title: "Object",
    rows: [
      { keys: ["Space"], words: "Save the figure; with none in the making, play the video", act: (to) => to.finish() },
      { keys: ["Esc"], words: "Drop the object, or what is begun", act: (to) => to.drop() },
      { keys: ["Ctrl+Z"], words: "Undo", act: (to) => to.undo(), repeats: true },
      { keys: ["Ctrl+Y", "Ctrl+Shift+Z"], words: "Redo", act: (to) => to.redo(), repeats: true },
      ...Array.from({ length: 9 }, (_, index) => ({
        keys: [String(index + 1)], act: (to) => to.chooseClass(index),
        ...(index ? { hidden: true } : { words: "Class, by its number", shown: ["1", "…", "9"] }),
      })),
      { keys: ["E"], words: "The image, video or volume is done, or not", act: (to) => to.done() },
      { keys: ["S"], words: "Smart Tool", act: (to) => to.chooseTool("smart") },
      { keys: ["B"], words: "Draw boxes", act: (to) => to.chooseTool("box") },
      { keys: ["A"], words: "Apply model", act: (to) => to.chooseTool("region") },
    ],
  },
  {
    title: "Going on",
    rows: [
      { keys: ["PageUp", "PageDown"], words: "Previous, next image, video or volume", act: goOn("PageUp", (to, way) => to.goOn(way)), repeats: true },
      { keys: ["←", "→"], words: "Previous, next frame or slice", act: goOn("←", (to, way) => to.step(way)), repeats: true },
      { keys: ["Shift+←", "Shift+→"], words: "Ten frames or slices", act: goOn("Shift+←", (to, way) => to.step(10 * way)), repeats: true },
      { keys: [",", "."], words: "Frame or slice, also while the keyboard points", act: goOn(",", (to, way) => to.step(way)), repeats: true },
      { keys: ["K"], words: "Play the video, pause", act: (to) => to.play() },
      { keys: ["T"], words: "Track", act: (to) => to.track() },
      { keys: ["J", "L"], words: "Video: previous, next frame that a person drew" },
      { keys: ["Shift+J", "Shift+L"], words: "Video: previous, next frame on which an object was lost" },
      { keys: ["X"], words: "Volume: move the cross-hair to the pointer" },
      { keys: ["W+drag"], words: "Volume: window of intensities" },
    ],
  },
  {
    title: "Looks and habits",
    rows: [
      { keys: ["F"], words: "Show the whole picture", act: (to) => to.fit() },
      { keys: ["+", "-"], words: "Zoom", act: goOn("-", (to, way) => to.zoom(way)), repeats: true },
      { keys: ["Shift+H"], words: "A colour for each figure", act: (to) => to.toggleColoring() },
      { keys: ["Ctrl+H"], words: "Hide the figures", act: (to) => to.toggle("hidden") },
      { keys: ["M"], words: "Point in the middle of a new box", act: (to) => to.toggle("autoPoint") },
      { keys: ["C"], words: "Simple clicks", act: (to) => to.toggle("simpleClicks") },
      { keys: ["P"], words: "Preview under the pointer", act: (to) => to.toggle("preview") },
      { keys: ["?"], words: "These keys", act: (to) => to.help() },
    ],
  },
  {
    title: "Pointing by keys, on the picture",
    rows: [
      { keys: ["Enter"], words: "Begin; then: a click at the cross" },
      { keys: ["←", "→", "↑", "↓"], words: "Move the cross; with Shift by one pixel" },
      { keys: ["Shift+Enter"], words: "Not this" },
      { keys: ["Alt+Enter"], words: "Remove the click under the cross" },
      { keys: ["D"], words: "Press as for a drag, and let go: a box, a corner, a click" },
      { keys: ["Shift+F10"], words: "Menu of the figure under the cross" },
      { keys: ["Esc"], words: "Give the drag up; without an object, leave the cross" },
    ],
  },
  {
    title: "In the lists",
    rows: [
      { keys: ["↑", "↓"], words: "Through the media" },
      { keys: ["F2"], words: "Rename the class or the figure" },
      { keys: ["Alt+↑", "Alt+↓"], words: "Move it in the order" },
      { keys: ["Enter"], words: "Go to the figure" },
    ],
  },
];

/** An action of two keys: `back` of them goes back (-1), the other on (1). */
function goOn(back, act) {
  return (to, name) => act(to, name === back ? -1 : 1);
}

const NAMES = {
  " ": "Space", escape: "Esc", arrowleft: "←", arrowright: "→", arrowup: "↑", arrowdown: "↓",
  pageup: "PageUp", pagedown: "PageDown", "=": "+", _: "-",
};

const ROWS = new Map(KEYS.flatMap(({ rows }) => rows)
  .filter(({ act }) => act)
  .flatMap((row) => row.keys.map((name) => [name, row])));

/** How the table writes a key that is pressed: "Ctrl+Shift+Z". */
export function nameOfKey({ key, ctrlKey, metaKey, altKey, shiftKey }) {
  const name = NAMES[key.toLowerCase()] ?? (key.length === 1 ? key.toUpperCase() : key);
  // A sign may need Shift or not, as the keyboard has it; letters and named keys say it.
  const shifted = shiftKey && (name.length > 1 || /[A-Z←→↑↓]/.test(name));
  const held = [ctrlKey || metaKey ? "Ctrl" : "", altKey ? "Alt" : "", shifted ? "Shift" : ""];
  return [...held.filter(Boolean), name].join("+");
}

/** Whether a key is not meant for the picture: a person is typing, or a panel is open. */
export const isElsewhere = ({ target }) =>
  Boolean(target.closest?.(`${TYPED}, dialog`) || document.querySelector("dialog:modal"));

/** Call an action when its key is pressed, unless a person is typing or a panel is open. */
export function bindKeys(actions) {
  addEventListener("keydown", (event) => {
    if (isElsewhere(event)) return;
    if (event.key === "Escape" && document.querySelector(":popover-open")) return; // it closes
    const name = nameOfKey(event);
    const row = ROWS.get(name);
    if (!row || isOwnKey(event, name)) return;
    event.preventDefault(); // Space and the arrows would scroll as well
    if (!event.repeat || row.repeats) row.act(actions, name);
  });
}

/** Whether the control that has the focus does something else with the key. */
function isOwnKey({ target, ctrlKey, metaKey }, name) {
  const on = (which) => Boolean(target.closest?.(which));
  if (name === "Space") return on(`${PRESSED}, select`);
  if (name.endsWith("←") || name.endsWith("→")) return on(`${HAS_ARROWS}, select`);
  // Letters choose from a list.
  return on("select") && !ctrlKey && !metaKey && name !== "Esc";
}
