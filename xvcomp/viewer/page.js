// Frames on canvases, and what the reader does with them.
async function draw() {
  const turn = ++state.turn;
  const bands = await Promise.all(shown().map(load));
  if (turn !== state.turn) return;
  const { low, high } = state.show, rgb = bands.length === 3;
  const colours = rgb ? null : table(bands[0].field.colours);
  const seen = rgb ? brighter : (pick) => pick;
  paint(byId("decoded"), bands, seen(decodedAt), colours, low, high);
  if (data.reference) {
    paint(byId("original"), bands, seen(originalAt), colours, low, high);
    paint(byId("error"), bands, errorAt, rgb ? null : table(data.diverging), -state.limit, state.limit);
    errorFacts(bands);
  }
  const g = bands[0].grid, k = frameOf(g);
  byId("frame").max = g.frames - 1;
  byId("frame").value = k;
  byId("date").textContent = [g.labels[k], "(" + (k + 1) + " of " + g.frames + ")"].join(" ");
  const aspect = g.width / g.height;
  all(".frame").forEach((each) => { each.style.maxWidth = "calc(72vh * " + aspect.toFixed(4) + ")"; });
  scales(bands, colours);
  mark(g);
  series(bands);
  document.body.dataset.shown = bands.map((b) => b.field.name).join("|") + " " + k;
}

function errorFacts(bands) {
  let square = 0, largest = 0, n = 0, lost = 0, invented = 0;
  bands.forEach((band) => {
    const size = band.grid.width * band.grid.height, start = frameOf(band.grid) * size;
    for (let i = start; i < start + size; i++) {
      const e = errorAt(band, i);
      if (!Number.isNaN(e)) { square += e * e; largest = Math.max(largest, Math.abs(e)); n++; continue; }
      if (!Number.isNaN(originalAt(band, i))) lost++;
      if (!Number.isNaN(decodedAt(band, i))) invented++;
    }
  });
  const written = (value) => measured(value, bands[0], value / 1e3);
  const facts = n ? ["RMSE " + written(Math.sqrt(square / n)), "largest " + written(largest)] : [];
  if (lost || invented) facts.push(lost + (lost === 1 ? " value" : " values") + " lost, " + invented + " invented");
  byId("error-facts").textContent = facts.join(", ") || "nothing valid here";
}

const unitOf = (band) => (band.field.unit ? " " + band.field.unit : "");
const measured = (value, band, step) => text(value, step) + (Number.isNaN(value) ? "" : unitOf(band));

// A number with the digits that a step leaves it, without the exponent that none needs.
function text(value, step) {
  if (Number.isNaN(value)) return "missing";
  if (Math.abs(value) < step / 100) return "0";
  const size = Math.abs(value), power = (v) => Math.floor(Math.log10(v));
  const digits = size && step > 0 ? clamp(power(size) - power(step) + 1, 1, 15) : 7;
  const exact = !(step > 0) && Number.isSafeInteger(value);
  const rounded = exact ? value : Number(value.toPrecision(digits));
  const plain = String(rounded), short = rounded.toExponential();
  return (size >= 1e7 || (size && size < 1e-4)) && short.length < plain.length ? short : plain;
}

function scales(bands, colours) {
  const unit = unitOf(bands[0]);
  const fill = (box, map, low, high) => {
    box.replaceChildren();
    if (!map) return;
    const bar = document.createElement("canvas"), ends = [low, high].map((v, i) => {
      const span = document.createElement("span");
      span.textContent = text(v, (high - low) / 1e4) + (i ? unit : "");
      return span;
    });
    bar.width = 256;
    bar.height = 1;
    const picture = new ImageData(256, 1);
    for (let i = 0; i < 256; i++) {
      for (let c = 0; c < 3; c++) picture.data[4 * i + c] = map[3 * i + c];
      picture.data[4 * i + 3] = 255;
    }
    bar.getContext("2d").putImageData(picture, 0, 0);
    box.append(ends[0], bar, ends[1]);
  };
  all(".scale.values").forEach((box) => fill(box, colours, state.show.low, state.show.high));
  all(".scale.errors").forEach((box) => fill(box, colours && table(data.diverging), -state.limit, state.limit));
}

function mark(g) {
  state.row = clamp(state.row, 0, g.height - 1);
  state.column = clamp(state.column, 0, g.width - 1);
  all(".mark").forEach((each) => {
    const box = each.parentElement.clientWidth / g.width, size = Math.max(10, box);
    each.style.width = each.style.height = size + "px";
    each.style.left = (state.column + 0.5) * box - size / 2 + "px";
    each.style.top = (state.row + 0.5) * box - size / 2 + "px";
  });
}

function go(frame) {
  const n = grid().frames;
  state.frame = ((frame % n) + n) % n;
  return draw();
}

function play(on) {
  clearInterval(state.timer);
  state.timer = on ? setInterval(() => go(state.frame + 1), 150) : 0;
  byId("play").textContent = on ? "Pause" : "Play";
}

function reset() {
  const rgb = state.mode === "rgb", bands = shown().map((k) => data.fields[k]);
  const ranges = bands.map((b) => (rgb ? b.band : b.show));
  const show = [Math.min(...ranges.map((r) => r[0])), Math.max(...ranges.map((r) => r[1]))];
  state.show = { low: show[0], high: show[1] };
  state.limit = Math.max(...bands.map((b) => b.usual || 0)) || 1e-12;
  const step = (show[1] - show[0]) / 1e4;
  write("low", show[0], step);
  write("high", show[1], step);
  write("limit", state.limit, state.limit / 1e4);
}

// A text is rounded: as long as nobody changes it, it stands for the number itself.
function write(id, value, step) {
  const input = byId(id);
  input.value = input.dataset.written = text(value, step);
  input.dataset.exact = value;
}

function read(id) {
  const input = byId(id);
  if (input.value === "") return NaN;
  return Number(input.value === input.dataset.written ? input.dataset.exact : input.value);
}

const together = (field) => field.grid === data.fields[state.rgb[0]].grid;

function options() {
  const fill = (id, chosen, usable) => {
    byId(id).replaceChildren(...data.fields.flatMap((field, k) => {
      if (!usable(field)) return [];
      const option = document.createElement("option");
      option.value = k;
      option.textContent = field.name;
      return [option];
    }));
    byId(id).value = chosen;
  };
  fill("field", state.field, () => true);
  ["red", "green", "blue"].forEach((id, c) => fill(id, state.rgb[c], together));
}

function changed() {
  state.mode = byId("mode").value;
  state.field = Number(byId("field").value);
  state.rgb = ["red", "green", "blue"].map((id) => Number(byId(id).value));
  stage.classList.toggle("rgb-mode", state.mode === "rgb");
  stage.classList.toggle("field-mode", state.mode !== "rgb");
  reset();
  return draw();
}

function typed() {
  const low = read("low"), high = read("high"), limit = read("limit");
  if (high > low) state.show = { low, high };
  if (limit > 0) state.limit = limit;
  return draw();
}

function listen() {
  ["mode", "field", "red", "green", "blue"].forEach((id) => byId(id).addEventListener("change", changed));
  ["low", "high", "limit"].forEach((id) => byId(id).addEventListener("change", typed));
  byId("reset").addEventListener("click", () => { reset(); draw(); });
  byId("frame").addEventListener("input", () => go(Number(byId("frame").value)));
  byId("back").addEventListener("click", () => { play(false); go(state.frame - 1); });
  byId("forward").addEventListener("click", () => { play(false); go(state.frame + 1); });
  byId("play").addEventListener("click", () => play(!state.timer));
  ["original", "decoded", "error"].forEach((id) => byId(id).addEventListener("click", (event) => {
    const box = event.currentTarget.getBoundingClientRect(), g = grid();
    state.column = Math.floor(((event.clientX - box.left) / box.width) * g.width);
    state.row = Math.floor(((event.clientY - box.top) / box.height) * g.height);
    draw();
  }));
  document.addEventListener("keydown", pressed);
  window.addEventListener("resize", draw);
}

const MOVES = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };

function pressed(event) {
  const on = event.target.tagName;
  if (on === "SELECT" || on === "INPUT" || event.ctrlKey || event.altKey || event.metaKey) return;
  const move = MOVES[event.key];
  if (event.shiftKey && move) {
    state.row += move[0];
    state.column += move[1];
    draw();
  } else if (move && move[1]) {
    play(false);
    go(state.frame + move[1]);
  } else if (event.key === " " && on !== "BUTTON") {
    play(!state.timer);
  } else {
    return;
  }
  event.preventDefault();
}

function start() {
  stage.classList.add(data.reference ? "paired" : "alone");
  if (!data.reference) byId("decoded-title").textContent = "Frame";
  state.mode = data.rgb ? "rgb" : "field";
  state.rgb = data.rgb || [0, 0, 0];
  options();
  byId("mode").value = state.mode;
  if (!data.rgb) byId("mode").parentElement.classList.toggle("hidden", data.fields.filter(together).length < 3);
  const g = grid();
  state.row = Math.floor(g.height / 2);
  state.column = Math.floor(g.width / 2);
  listen();
  return changed();
}

start().then(() => { document.body.dataset.ready = "true"; }, (error) => {
  document.body.dataset.failed = String(error);
  byId("readout").textContent = "This page could not be drawn: " + error;
});
