// A field in the place of a name, until there is a new one.

/**
 * @param {Element} name - comes back at the end
 * @param {HTMLInputElement} field - focused, all of its text chosen
 * @param {(text: string|null) => void} ended - called once: with the text after Enter or when the
 *   field is left, with null after Escape
 */
export function rename(name, field, ended) {
  let over = false;
  const end = (text) => {
    if (over) return; // the field is left when it is taken away, too
    over = true;
    field.replaceWith(name);
    ended(text);
  };
  field.addEventListener("keydown", (event) => {
    event.stopPropagation();
    if (event.key === "Enter") end(field.value.trim());
    if (event.key === "Escape") end(null);
  });
  field.addEventListener("blur", () => end(field.value.trim()));
  name.replaceWith(field);
  field.focus();
  field.select();
}
