// The keys of the image view.

/** Call an action when its key is pressed, unless a person is typing or a panel is open. */
export function bindKeys(actions) {
  addEventListener("keydown", (event) => {
    const typing = event.target.closest?.("input[type=text], select, textarea");
    if (typing || document.querySelector("dialog[open]")) return;
    const action = actionOf(event, actions);
    if (!action) return;
    // Space would press the focused button as well.
    event.preventDefault();
    action();
  });
}

function actionOf(event, actions) {
  const key = event.key.toLowerCase();
  if (event.ctrlKey || event.metaKey) {
    if (key === "z") return event.shiftKey ? actions.redo : actions.undo;
    return key === "y" ? actions.redo : null;
  }
  if (event.altKey) return null;
  if (key === " ") return event.target.closest?.(".media, .side, .top") ? null : actions.finish;
  if (key === "escape") return actions.drop;
  if (key === "f") return actions.fit;
  if (/^[1-9]$/.test(key)) return () => actions.chooseClass(Number(key) - 1);
  return null;
}
