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
  let square = 0, largest = 0, n = 0;
  bands.forEach((band) => {
    const size = band.grid.width * band.grid.height, start = frameOf(band.grid) * size;
    for (let i = start; i < start + size; i++) {
      const e = band.errors[i];
      if (!Number.isNaN(e)) { square += e * e; largest = Math.max(largest, Math.abs(e)); n++; }
    }
  });
  const unit = unitOf(bands[0]);
  byId("error-facts").textContent = n
    ? "RMSE " + text(Math.sqrt(square / n)) + unit + ", largest " + text(largest) + unit : "nothing valid here";
}

const unitOf = (band) => (band.field.unit ? " " + band.field.unit : "");

function text(value) {
  if (Number.isNaN(value)) return "missing";
  if (value !== 0 && (Math.abs(value) < 1e-3 || Math.abs(value) >= 1e5)) return value.toExponential(2);
  return String(Number(value.toPrecision(5)));
}

function scales(bands, colours) {
  const unit = unitOf(bands[0]);
  const fill = (box, map, low, high) => {
    box.replaceChildren();
    if (!map) return;
    const bar = document.createElement("canvas"), ends = [low, high].map((v, i) => {
      const span = document.createElement("span");
      span.textContent = text(v) + (i ? unit : "");
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
  byId("low").value = text(state.show.low);
  byId("high").value = text(state.show.high);
  byId("limit").value = text(state.limit);
}

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
  const together = (field) => !data.rgb || field.grid === data.fields[data.rgb[0]].grid;
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
  const low = Number(byId("low").value), high = Number(byId("high").value), limit = Number(byId("limit").value);
  if (byId("low").value && byId("high").value && high > low) state.show = { low, high };
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
  if (!data.rgb) byId("mode").parentElement.classList.toggle("hidden", data.fields.length < 3);
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
