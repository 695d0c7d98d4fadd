// What the page holds, and how numbers become colours and text.
const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const all = (selector) => Array.from(document.querySelectorAll(selector));
const SVG = "http://www.w3.org/2000/svg";
const GAMMA = 1.6;
const stage = byId("stage");
const loaded = new Map();
const state = { mode: "field", field: 0, rgb: [0, 0, 0], frame: 0, row: 0, column: 0, show: null, limit: 1, timer: 0, turn: 0 };

// Codes are kept, half as large as numbers: code 0 is missing, others are base + (code - zero) * step.
async function unpack(id, base, zero, step) {
  const element = byId(id);
  if (!element) return null;
  const coded = atob(element.textContent);
  const bytes = new Uint8Array(coded.length);
  for (let i = 0; i < coded.length; i++) bytes[i] = coded.charCodeAt(i);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  const planes = new Uint8Array(await new Response(stream).arrayBuffer());
  const count = planes.length / 2, codes = new Uint16Array(count);
  let code = 0;
  for (let i = 0; i < count; i++) {
    code = (code + (planes[i] << 8) + planes[count + i]) & 0xffff;
    codes[i] = code;
  }
  element.remove();
  return { codes, base, zero, step };
}

const unpackValues = (id, low, high) => unpack(id, low, 1, (high - low) / 65533);

function load(k) {
  if (!loaded.has(k)) {
    const field = data.fields[k], id = "field-" + k + "-";
    loaded.set(k, Promise.all([
      unpackValues(id + "values", field.low, field.high),
      data.reference ? unpack(id + "errors", 0, 32768, field.limit / 32767) : null,
      field.lost ? unpackValues(id + "lost", field.lost[0], field.lost[1]) : null,
    ]).then(([values, errors, lost]) => ({ values, errors, lost, field, grid: data.grids[field.grid] })));
  }
  return loaded.get(k);
}

const shown = () => (state.mode === "rgb" ? state.rgb : [state.field]);
const grid = () => data.grids[data.fields[shown()[0]].grid];

function table(anchors) {
  const colours = new Uint8Array(768);
  for (let i = 0; i < 256; i++) {
    const at = (i / 255) * (anchors.length - 1), k = Math.min(Math.floor(at), anchors.length - 2);
    for (let c = 0; c < 3; c++) {
      colours[3 * i + c] = Math.round(anchors[k][c] + (at - k) * (anchors[k + 1][c] - anchors[k][c]));
    }
  }
  return colours;
}

const clamp = (v, low, high) => Math.min(high, Math.max(low, v));
const share = (v, low, high) => clamp((v - low) / (high - low || 1), 0, 1);

function paint(canvas, bands, pick, colours, low, high) {
  const { width, height } = bands[0].grid, size = width * height, start = frameOf(bands[0].grid) * size;
  canvas.width = width;
  canvas.height = height;
  const picture = new ImageData(width, height), out = picture.data;
  for (let i = 0; i < size; i++) {
    let missing = false;
    for (let c = 0; c < 3; c++) {
      const value = pick(bands[bands.length === 3 ? c : 0], start + i);
      if (Number.isNaN(value)) missing = true;
      const s = share(value, low, high);
      out[4 * i + c] = colours ? colours[3 * Math.round(255 * (s || 0)) + c] : Math.round(255 * s);
    }
    out[4 * i + 3] = missing ? 0 : 255;
  }
  canvas.getContext("2d").putImageData(picture, 0, 0);
}

const frameOf = (g) => Math.min(state.frame, g.frames - 1);
const at = (stored, i) => (stored && stored.codes[i] ? stored.base + (stored.codes[i] - stored.zero) * stored.step : NaN);
const decodedAt = (band, i) => at(band.values, i);
const errorAt = (band, i) => at(band.errors, i);
// What was lost in decoding has no error: the original's value is a store of its own.
const originalAt = (band, i) => (band.values.codes[i] ? decodedAt(band, i) - errorAt(band, i) : at(band.lost, i));
function brighter(pick) {
  const { low, high } = state.show;
  return (band, i) => low + (high - low) * Math.pow(share(pick(band, i), low, high), 1 / GAMMA);
}
