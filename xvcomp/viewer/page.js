"use strict";
(function () {
  const data = JSON.parse(document.getElementById("data").textContent);
  const byId = (id) => document.getElementById(id);
  const all = (selector) => Array.from(document.querySelectorAll(selector));
  const SVG = "http://www.w3.org/2000/svg";
  const GAMMA = 1.6;
  const stage = byId("stage");
  const loaded = new Map();
  const state = { mode: "field", field: 0, rgb: [0, 0, 0], frame: 0, row: 0, column: 0, show: null, limit: 1, timer: 0, turn: 0 };

  // ---- data -------------------------------------------------------------------------

  async function unpack(id, low, high, first, last) {
    const element = byId(id);
    if (!element) return null;
    const coded = atob(element.textContent);
    const bytes = new Uint8Array(coded.length);
    for (let i = 0; i < coded.length; i++) bytes[i] = coded.charCodeAt(i);
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    const planes = new Uint8Array(await new Response(stream).arrayBuffer());
    const count = planes.length / 2, values = new Float32Array(count), step = (high - low) / (last - first);
    let code = 0;
    for (let i = 0; i < count; i++) {
      code = (code + (planes[i] << 8) + planes[count + i]) & 0xffff;
      values[i] = code === 0 ? NaN : low + (code - first) * step;
    }
    element.remove();
    return values;
  }

  function load(k) {
    if (!loaded.has(k)) {
      const field = data.fields[k];
      loaded.set(k, Promise.all([
        unpack("field-" + k + "-values", field.low, field.high, 1, 65534),
        data.reference ? unpack("field-" + k + "-errors", -field.limit, field.limit, 1, 65535) : null,
      ]).then(([values, errors]) => ({ values, errors, field, grid: data.grids[field.grid] })));
    }
    return loaded.get(k);
  }

  const shown = () => (state.mode === "rgb" ? state.rgb : [state.field]);
  const grid = () => data.grids[data.fields[shown()[0]].grid];

  // ---- colours ----------------------------------------------------------------------

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
  const decodedAt = (band, i) => band.values[i];
  const originalAt = (band, i) => band.values[i] - band.errors[i];
  const errorAt = (band, i) => band.errors[i];
  function brighter(pick) {
    const { low, high } = state.show;
    return (band, i) => low + (high - low) * Math.pow(share(pick(band, i), low, high), 1 / GAMMA);
  }

  // ---- drawing ----------------------------------------------------------------------

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

  // ---- series of a pixel ------------------------------------------------------------

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

  // ---- what the reader does ---------------------------------------------------------

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
})();
