// Words for numbers of things.

/** "1 object", "2 objects"; `many` where an s is not enough. */
export const count = (number, one, many = `${one}s`) => `${number} ${number === 1 ? one : many}`;
