// The keys of the image view.

const TYPED = "input[type=text], input[type=number], textarea";
const PRESSED = "button, a[href], summary, input[type=checkbox], input[type=radio]";
const AGAIN = new Set(["arrowleft", "arrowright", "z", "y"]); // what a key that is held goes on doing
const HAS_ARROWS = "input[type=range], input[type=radio]";

/** Whether a key is not meant for the picture: a person is typing, or a panel is open. */
export const isElsewhere = ({ target }) =>
  Boolean(target.closest?.(TYPED) || document.querySelector("dialog[open]"));

/** Call an action when its key is pressed, unless a person is typing or a panel is open. */
export function bindKeys(actions) {
  addEventListener("keydown", (event) => {
    if (isElsewhere(event)) return;
    if (event.key === "Escape" && document.querySelector(":popover-open")) return; // it closes
    const action = actionOf(event, actions);
    if (!action) return;
    event.preventDefault(); // Space and the arrows would scroll as well
    if (!event.repeat || AGAIN.has(event.key.toLowerCase())) action();
  });
}

function actionOf(event, actions) {
  const key = event.key.toLowerCase();
  const choosing = event.target.closest?.("select"); // letters and arrows choose from the list
  if (event.ctrlKey || event.metaKey) {
    if (key === "z") return event.shiftKey ? actions.redo : actions.undo;
    if (key === "h") return () => actions.toggle("hidden");
    return key === "y" ? actions.redo : null;
  }
  if (event.altKey || choosing) return null;
  if (key === " ") return event.target.closest?.(PRESSED) ? null : actions.finish;
  if (key === "escape") return actions.drop;
  if (key === "arrowleft" || key === "arrowright") {
    if (event.target.closest?.(HAS_ARROWS)) return null;
    const far = event.shiftKey ? 10 : 1;
    return () => actions.step(key === "arrowleft" ? -far : far);
  }
  if (key === "h" && event.shiftKey) return actions.toggleColoring;
  const habit = { m: "autoPoint", c: "simpleClicks", p: "preview" }[key];
  if (habit) return () => actions.toggle(habit);
  if (key === "s") return () => actions.chooseTool("smart");
  if (key === "b") return () => actions.chooseTool("box");
  if (key === "a") return () => actions.chooseTool("region");
  if (key === "f") return actions.fit;
  if (key === "k") return actions.play;
  if (key === "t") return actions.track;
  if (/^[1-9]$/.test(key)) return () => actions.chooseClass(Number(key) - 1);
  return null;
}
