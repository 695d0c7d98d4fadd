// The series of a pixel, drawn as SVG.
function add(parent, name, attributes, content) {
  const made = document.createElementNS(SVG, name);
  Object.entries(attributes).forEach(([key, value]) => made.setAttribute(key, value));
  if (content !== undefined) made.textContent = content;
  parent.append(made);
  return made;
}

function ticks(low, high, most) {
  const raw = (high - low) / most || 1, unit = Math.pow(10, Math.floor(Math.log10(raw)));
  const step = [1, 2, 2.5, 5, 10].map((m) => m * unit).find((s) => s >= raw * 0.999);
  const found = [], first = Math.ceil(low / step - 1e-9);
  for (let k = 0; k <= most && (first + k) * step <= high + 1e-9 * step; k++) found.push(Number(((first + k) * step).toPrecision(15)));
  return { found, step };
}

// By loops: a function takes only so many arguments.
function range(lists) {
  let low = Infinity, high = -Infinity;
  lists.forEach((list) => list.forEach((v) => {
    if (Number.isFinite(v)) { low = Math.min(low, v); high = Math.max(high, v); }
  }));
  return low <= high ? [low, high] : [0, 1];
}

function nearest(count, x, wanted) {
  let best = 0;
  for (let t = 1; t < count; t++) if (Math.abs(x(t) - wanted) < Math.abs(x(best) - wanted)) best = t;
  return best;
}

// Where many points share a pixel column: its first, least, largest and last.
function sparse(values, x, columns) {
  if (values.length <= 2 * columns) return Array.from(values.keys());
  const kept = [];
  let column = NaN, seen = [];
  const flush = () => kept.push(...new Set(seen.sort((a, b) => a - b)));
  values.forEach((v, t) => {
    if (Math.floor(x(t)) !== column) { flush(); column = Math.floor(x(t)); seen = [t, t, t, t]; return; }
    if (!Number.isFinite(v)) return;
    if (!Number.isFinite(values[seen[0]])) { seen = [t, t, t, t]; return; }
    seen = [seen[0], values[seen[1]] > v ? t : seen[1], values[seen[2]] < v ? t : seen[2], t];
  });
  flush();
  return kept;
}

function lines(bands, pixel) {
  const rgb = bands.length === 3, found = [];
  bands.forEach((band, b) => {
    const of = (pick) => Array.from({ length: band.grid.frames }, (_, t) => pick(band, t * pixel.size + pixel.i));
    const name = rgb ? band.field.name + " " : "";
    if (data.reference) {
      found.push({ name: name + "original", css: (rgb ? "s" + "rgb"[b] + " thin" : "s1"), values: of(originalAt) });
    }
    found.push({ name: name + (data.reference ? "decoded" : ""), css: rgb ? "s" + "rgb"[b] : "s0", values: of(decodedAt) });
  });
  return found;
}

function series(bands) {
  const g = bands[0].grid, pixel = { size: g.width * g.height, i: state.row * g.width + state.column };
  const drawn = lines(bands, pixel), k = frameOf(g);
  const place = (axis, n) => axis.name + " " + Number(axis.values[n].toPrecision(9)) + (axis.unit && axis.unit.length < 5 ? " " + axis.unit : "");
  const now = bands.map((band) => {
    const n = k * pixel.size + pixel.i, step = band.values.step;
    const parts = [band.field.name + " " + measured(decodedAt(band, n), band, step)];
    if (data.reference) parts.push("original " + text(originalAt(band, n), step), "error " + text(errorAt(band, n), band.errors.step));
    return parts.join(", ");
  });
  byId("readout").textContent = [place(g.rows, state.row) + ", " + place(g.columns, state.column), ...now].join("; ");
  const legend = byId("legend");
  legend.replaceChildren(...(drawn.length > 1 ? drawn : []).map((line) => {
    const span = document.createElement("span");
    span.className = line.css.split(" ")[0];
    span.textContent = line.name + (line.css.includes("thin") ? " (dashed)" : "");
    return span;
  }));
  plot(drawn, g, bands);
}

function plot(drawn, g, bands) {
  const svg = byId("plot"), box = svg.getBoundingClientRect();
  const width = Math.max(260, box.width), height = Math.max(160, box.height);
  svg.replaceChildren();
  svg.setAttribute("viewBox", "0 0 " + width + " " + height);
  let [low, high] = range(drawn.map((line) => line.values));
  const pad = 0.06 * (high - low) || Math.abs(high) * 0.01 || 1;
  low -= pad;
  high += pad;
  const marks = ticks(low, high, 6), written = (v) => text(v, marks.step / 10);
  const wide = Math.max(1, ...marks.found.map((v) => written(v).length));
  const left = 16 + 7 * wide + 18, right = width - 14, top = 8, bottom = height - 24;
  const place = g.times || g.labels.map((_, i) => i), first = place[0], span = place[place.length - 1] - first || 1;
  const x = (t) => left + ((place[t] - first) / span) * (right - left);
  const y = (v) => bottom - ((v - low) / (high - low)) * (bottom - top);
  marks.found.forEach((v) => {
    add(svg, "line", { class: "grid", x1: left, x2: right, y1: y(v), y2: y(v) });
    add(svg, "text", { x: left - 6, y: y(v) + 4, "text-anchor": "end" }, written(v));
  });
  const unit = bands[0].field.unit || (bands.length === 1 ? bands[0].field.name : "");
  add(svg, "text", { transform: "translate(12 " + (top + bottom) / 2 + ") rotate(-90)", "text-anchor": "middle" }, unit.slice(0, 32));
  dates(svg, g, x, bottom, left, right);
  add(svg, "path", { class: "axis", d: "M" + left + " " + top + "V" + bottom + "H" + right });
  add(svg, "line", { class: "now", x1: x(frameOf(g)), x2: x(frameOf(g)), y1: top, y2: bottom });
  drawn.forEach((line) => {
    let path = "", open = false;
    const points = sparse(line.values, x, right - left), valid = (n) => Number.isFinite(line.values[points[n]]);
    const spot = (n) => x(points[n]).toFixed(1) + " " + y(line.values[points[n]]).toFixed(1);
    points.forEach((_, n) => {
      if (valid(n)) path += (open ? "L" : "M") + spot(n);
      open = valid(n);
    });
    add(svg, "path", { class: "line " + line.css, d: path, "data-name": line.name });
    // A value between two gaps would have no line to be seen by.
    const alone = points.map((_, n) => (valid(n) && !valid(n - 1) && !valid(n + 1) ? "M" + spot(n) + "h0" : "")).join("");
    if (alone) add(svg, "path", { class: "dots " + line.css.split(" ")[0], d: alone });
  });
  const hit = add(svg, "rect", { class: "hit", x: left, y: top, width: right - left, height: bottom - top });
  hit.addEventListener("click", (event) => {
    const seen = svg.getBoundingClientRect();
    go(nearest(place.length, x, (event.clientX - seen.left) * (width / seen.width)));
  });
}

function dates(svg, g, x, bottom, left, right) {
  const label = (t) => g.labels[t].slice(0, 16), last = g.frames - 1;
  const wide = 7 * g.labels.reduce((most, each) => Math.max(most, Math.min(16, each.length)), 1);
  const put = (t, anchor) => add(svg, "text", { x: x(t), y: bottom + 16, "text-anchor": anchor }, label(t));
  put(0, "start");
  if (last === 0) return;
  put(last, "end");
  let end = left + wide;
  const count = Math.floor((right - left) / (wide + 24));
  for (let n = 1; n < count; n++) {
    const t = nearest(g.frames, x, left + (n / count) * (right - left)), middle = x(t);
    if (middle - wide / 2 < end + 12 || middle + wide / 2 > right - wide - 12) continue;
    end = middle + wide / 2;
    put(t, "middle");
  }
}
