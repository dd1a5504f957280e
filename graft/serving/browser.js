// Runs the release's file in the browser: the picture is made what the network saw in training, as Pillow makes it.
import { loadLiteRt, loadAndCompile, Tensor } from "/runtime/litert.js";

const BITS = 22;  // Pillow's precision for pictures of 8 bits

// Resolves to a function from a picture to probabilities, in the order of the file's classes. An int8 file answers
// integers, which stand for (integer - zero) * scale.
export async function load(sizePx, [scale, zero]) {
  self.Module = { print: console.debug, printErr: console.debug };  // the runtime says all it says as an error
  await loadLiteRt("/runtime/");
  const model = await loadAndCompile("/file.tflite", { accelerator: "wasm" });
  return async picture => {
    const input = new Tensor(sample(picture, sizePx), [1, sizePx, sizePx, 3]);
    const [output] = await model.run(input);
    const probabilities = Float32Array.from(output.toTypedArray(), value => (value - zero) * scale);
    input.delete();
    output.delete();
    return probabilities;
  };
}

// (sizePx, sizePx, 3) uint8: the largest centred square, on white
export function sample(picture, sizePx) {
  const { width, height } = picture, canvas = new OffscreenCanvas(width, height);
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  pen.fillStyle = "white";
  pen.fillRect(0, 0, width, height);
  pen.drawImage(picture, 0, 0);
  const edge = Math.min(width, height), pixels = pen.getImageData(0, 0, width, height).data;
  const across = weights(width, (width - edge) / 2, edge, sizePx), down = weights(height, (height - edge) / 2, edge, sizePx);
  const narrow = new Uint8Array(height * sizePx * 3), small = new Uint8Array(sizePx * sizePx * 3);
  // Rounded to 8 bits in between, as there
  for (let row = 0; row < height; row++) blend(across, pixels, row * width * 4, 4, narrow, row * sizePx * 3, 3);
  for (let column = 0; column < sizePx; column++) blend(down, narrow, column * 3, sizePx * 3, small, column * 3, sizePx * 3);
  return small;
}

// For each pixel of the small edge: which of the large one's it is made of, and how much of each
function weights(size, start, edge, sizePx) {
  const scale = edge / sizePx, reach = Math.max(scale, 1);
  return Array.from({ length: sizePx }, (_, at) => {
    const centre = start + (at + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - reach + 0.5)), last = Math.min(size, Math.trunc(centre + reach + 0.5));
    const raw = Array.from({ length: last - first }, (_, n) => Math.max(0, 1 - Math.abs((n + first - centre + 0.5) / reach)));
    const sum = raw.reduce((one, other) => one + other, 0);
    return { first, shares: raw.map(share => Math.trunc(0.5 + share / sum * (1 << BITS))) };
  });
}

function blend(made, from, start, step, to, begin, stride) {
  made.forEach(({ first, shares }, at) => {
    for (let channel = 0; channel < 3; channel++) {
      let sum = 1 << (BITS - 1);
      for (let n = 0; n < shares.length; n++) sum += from[start + (first + n) * step + channel] * shares[n];
      to[begin + at * stride + channel] = Math.min(255, sum >> BITS);
    }
  });
}
