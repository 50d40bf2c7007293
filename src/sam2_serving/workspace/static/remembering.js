// What the browser remembers of the page, as JSON under a key.

/** What was kept under a key; an empty object if nothing was, or nothing that can be read. */
export function recall(key) {
  try {
    return JSON.parse(localStorage.getItem(key)) ?? {};
  } catch {
    return {};
  }
}

/** Keep a value under a key. */
export function keep(key, value) {
  try {
    localStorage.setItem(key, JSON.stringify(value));
  } catch {
    // A browser may refuse to remember anything: then it holds until the page is closed.
  }
}
