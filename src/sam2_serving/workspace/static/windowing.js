// Windows of intensities: those that are usual, and those that fit.

import { getPicture } from "./api.js";
import { placeOf } from "./places.js";

// Hounsfield units of computed tomography, [center, width].
export const CT_WINDOWS = {
  "Soft tissue": [40, 400],
  Lung: [-600, 1500],
  Bone: [400, 1800],
  Brain: [40, 80],
};
const SHARE = 0.01; // of the slice's pixels may be black, and as many white

/** Whether a volume's intensities can be Hounsfield units: there is air, or something is dense. */
export const isTomography = ({ window: { min, max } }) => min < -400 && max > 100 && max < 32_000;

/** The nearest window that can be shown, in numbers that can be read. */
export function windowOf(medium, center, width) {
  const { min, max } = medium.window;
  const range = max - min;
  const fine = range > 50 ? 1 : 10 ** Math.floor(Math.log10(range / 200 || 1));
  const rounded = (value) => Number((Math.round(value / fine) * fine).toPrecision(6));
  return {
    center: rounded(Math.min(Math.max(center, min - range), max + range)),
    width: Math.max(rounded(width), fine),
  };
}

/** The window in which what is on the open slice fills the range from black to white. */
export async function windowOfSlice({ medium, at }) {
  const { min, max } = medium.window;
  const whole = { ...at, center: (min + max) / 2, width: max - min || 1 };
  const picture = await getPicture(placeOf(medium, whole));
  const context = new OffscreenCanvas(picture.width, picture.height).getContext("2d");
  context.drawImage(picture, 0, 0);
  const { data } = context.getImageData(0, 0, picture.width, picture.height);
  picture.close();
  const counts = new Array(256).fill(0);
  for (let i = 0; i < data.length; i += 4) counts[data[i]] += 1;
  const most = (data.length / 4) * SHARE;
  const low = reached(counts, most);
  const high = 255 - reached(counts.reverse(), most);
  const value = (level) => min + (level / 255) * (max - min);
  return windowOf(medium, value((low + high) / 2), value(Math.max(high, low + 1)) - value(low));
}

/** The first level at which more than so many pixels have been passed. */
function reached(counts, most) {
  let passed = 0;
  return Math.max(counts.findIndex((count) => (passed += count) > most), 0);
}
