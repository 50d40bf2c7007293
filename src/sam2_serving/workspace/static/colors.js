// Colours of figures: of their class, or one for each figure.

const GOLDEN_ANGLE = 137.508; // in degrees: numbers that follow each other get hues far apart

/** The colour in which a figure is shown. */
export function colorOf(figure, { classes, coloring }) {
  if (coloring === "figure") return ownColor(figure.number ?? figure.id);
  return classes.find(({ id }) => id === figure.classId)?.color ?? "#888888";
}

/** A colour for a number, as "#RRGGBB"; always the same one, unlike those of its neighbours. */
function ownColor(number) {
  const hue = (number * GOLDEN_ANGLE) % 360;
  const lightness = [0.55, 0.68, 0.45][number % 3];
  return hexOf(hue, 0.82, lightness);
}

/** HSL as "#RRGGBB": https://www.w3.org/TR/css-color-4/#hsl-to-rgb */
function hexOf(hue, saturation, lightness) {
  const reach = saturation * Math.min(lightness, 1 - lightness);
  const part = (shift) => {
    const k = (shift + hue / 30) % 12;
    const value = lightness - reach * Math.max(-1, Math.min(k - 3, 9 - k, 1));
    return Math.round(255 * value).toString(16).padStart(2, "0");
  };
  return `#${part(0)}${part(8)}${part(4)}`;
}
