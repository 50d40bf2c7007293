// What the browser remembers of the page, as JSON under a key.

/** What was kept under a key; an empty object if nothing was, or nothing that can be read. */
export function recall(key) {
  try {
    return JSON.parse(localStorage.getItem(key)) ?? {};
  } catch {
    return {};
  }
}

/** Keep a value under a key. @returns {boolean} whether it is kept */
export function keep(key, value) {
  try {
    localStorage.setItem(key, JSON.stringify(value));
    return true;
  } catch {
    return false; // A browser may refuse to remember anything: it holds until the page is closed.
  }
}

/** Hear of what another tab keeps under a key. */
export function follow(key, changed) {
  addEventListener("storage", (event) => { if (event.key === key) changed(); });
}
