// The dialog that shows all keys: the table of keys.js, as it is.

import { element, iconButton } from "../dom.js";
import { KEYS } from "./keys.js";

/**
 * @param {HTMLDialogElement} dialog
 * @param {HTMLButtonElement} button - opens it
 * @returns {() => void} opens it
 */
export function mountHelp(dialog, button) {
  const key = (name) => (name === "…" ? name : element("kbd", {}, name));
  const row = ({ keys, shown = keys, words }) =>
    element("div", {}, element("dt", {}, ...shown.map(key)), element("dd", {}, words));
  const group = ({ title, rows }) => element(
    "section", {},
    element("h3", {}, title),
    element("dl", {}, ...rows.filter(({ hidden }) => !hidden).map(row)),
  );
  const close = iconButton("cross", "Close (Esc)", () => dialog.close());
  dialog.append(
    element("header", {}, element("h2", { id: "help-title" }, "Keys"), close),
    element(
      "div.keys", { tabIndex: 0, role: "group", "aria-labelledby": "help-title" },
      ...KEYS.map(group),
    ),
  );
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  const open = () => { if (!dialog.open) dialog.showModal(); };
  button.addEventListener("click", open);
  return open;
}
