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
  const found = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9 * step; k++) found.push(Number((k * step).toPrecision(12)));
  return found;
}

function lines(bands, at) {
  const rgb = bands.length === 3, found = [];
  bands.forEach((band, b) => {
    const of = (pick) => Array.from({ length: band.grid.frames }, (_, t) => pick(band, t * at.size + at.i));
    const name = rgb ? band.field.name + " " : "";
    if (data.reference) {
      found.push({ name: name + "original", css: (rgb ? "s" + "rgb"[b] + " thin" : "s1"), values: of(originalAt) });
    }
    found.push({ name: name + (data.reference ? "decoded" : ""), css: rgb ? "s" + "rgb"[b] : "s0", values: of(decodedAt) });
  });
  return found;
}

function series(bands) {
  const g = bands[0].grid, at = { size: g.width * g.height, i: state.row * g.width + state.column };
  const drawn = lines(bands, at), k = frameOf(g);
  const place = (axis, n) => axis.name + " " + Number(axis.values[n].toPrecision(9)) + (axis.unit && axis.unit.length < 5 ? " " + axis.unit : "");
  const now = bands.map((band) => {
    const n = k * at.size + at.i, parts = [band.field.name + " " + text(band.values[n]) + unitOf(band)];
    if (data.reference) parts.push("original " + text(originalAt(band, n)), "error " + text(band.errors[n]));
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
  const values = drawn.flatMap((line) => line.values).filter((v) => !Number.isNaN(v));
  let low = Math.min(...values), high = Math.max(...values);
  if (!values.length) { low = 0; high = 1; }
  const pad = 0.06 * (high - low) || Math.abs(high) * 0.01 || 1;
  low -= pad;
  high += pad;
  const marks = ticks(low, high, 6), wide = Math.max(...marks.map((v) => text(v).length));
  const left = 16 + 7 * wide + 18, right = width - 14, top = 8, bottom = height - 24;
  const place = g.times || g.labels.map((_, i) => i), first = place[0], span = place[place.length - 1] - first || 1;
  const x = (t) => left + ((place[t] - first) / span) * (right - left);
  const y = (v) => bottom - ((v - low) / (high - low)) * (bottom - top);
  marks.forEach((v) => {
    add(svg, "line", { class: "grid", x1: left, x2: right, y1: y(v), y2: y(v) });
    add(svg, "text", { x: left - 6, y: y(v) + 4, "text-anchor": "end" }, text(v));
  });
  const unit = bands[0].field.unit || (bands.length === 1 ? bands[0].field.name : "");
  add(svg, "text", { transform: "translate(12 " + (top + bottom) / 2 + ") rotate(-90)", "text-anchor": "middle" }, unit.slice(0, 32));
  dates(svg, g, x, bottom, left, right);
  add(svg, "path", { class: "axis", d: "M" + left + " " + top + "V" + bottom + "H" + right });
  add(svg, "line", { class: "now", x1: x(frameOf(g)), x2: x(frameOf(g)), y1: top, y2: bottom });
  drawn.forEach((line) => {
    let path = "", open = false;
    line.values.forEach((v, t) => {
      if (Number.isNaN(v)) { open = false; return; }
      path += (open ? "L" : "M") + x(t).toFixed(1) + " " + y(v).toFixed(1);
      open = true;
    });
    add(svg, "path", { class: "line " + line.css, d: path, "data-name": line.name });
    // A value between two gaps would have no line to be seen by.
    const alone = line.values.map((v, t) => (!Number.isNaN(v) && !(line.values[t - 1] > -Infinity) && !(line.values[t + 1] > -Infinity)
      ? "M" + x(t).toFixed(1) + " " + y(v).toFixed(1) + "h0" : "")).join("");
    if (alone) add(svg, "path", { class: "dots " + line.css.split(" ")[0], d: alone });
  });
  const hit = add(svg, "rect", { class: "hit", x: left, y: top, width: right - left, height: bottom - top });
  hit.addEventListener("click", (event) => {
    const at = event.clientX - svg.getBoundingClientRect().left;
    const far = place.map((_, t) => Math.abs(x(t) - at * (width / svg.getBoundingClientRect().width)));
    go(far.indexOf(Math.min(...far)));
  });
}

function dates(svg, g, x, bottom, left, right) {
  const labels = g.labels.map((label) => label.slice(0, 16)), last = g.frames - 1;
  const wide = 7 * Math.max(...labels.map((label) => label.length));
  const at = labels.map((_, t) => x(t));
  const write = (t, anchor) => add(svg, "text", { x: at[t], y: bottom + 16, "text-anchor": anchor }, labels[t]);
  write(0, "start");
  if (last === 0) return;
  write(last, "end");
  let end = left + wide;
  const count = Math.floor((right - left) / (wide + 24));
  for (let n = 1; n < count; n++) {
    const far = at.map((each) => Math.abs(each - left - (n / count) * (right - left)));
    const t = far.indexOf(Math.min(...far));
    if (at[t] - wide / 2 < end + 12 || at[t] + wide / 2 > right - wide - 12) continue;
    end = at[t] + wide / 2;
    write(t, "middle");
  }
}
