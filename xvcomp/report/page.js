"use strict";
(function () {
  const data = JSON.parse(document.getElementById("data").textContent);
  const byId = (id) => document.getElementById(id);
  const all = (selector) => Array.from(document.querySelectorAll(selector));
  const tip = byId("tip");

  function showTip(dot) {
    const box = dot.getBoundingClientRect();
    tip.textContent = dot.dataset.text;
    tip.style.opacity = 1;
    const room = document.documentElement.clientWidth - tip.offsetWidth - 12;
    tip.style.left = Math.min(box.right + 10, Math.max(0, room)) + window.scrollX + "px";
    tip.style.top = box.top - 8 + window.scrollY + "px";
  }

  function choose(key) {
    if (!data.pictures[key]) return;
    byId("point").value = key;
    all(".dot, tr[data-key]").forEach((each) =>
      each.classList.toggle("chosen", each.dataset.key === key));
    draw();
  }

  function draw() {
    const key = byId("point").value, name = byId("variable").value;
    const picture = data.pictures[key] && data.pictures[key][name];
    const subject = data.subjects[name];
    if (!picture || !subject) return;
    const unit = subject.unit ? " " + subject.unit : "";
    byId("original").src = subject.original;
    byId("decoded").src = picture.decoded;
    byId("error").src = picture.error;
    byId("original-caption").textContent = name + ", " + subject.caption;
    byId("decoded-caption").textContent = data.names[key];
    byId("error-caption").textContent =
      "decoded minus original, RMSE " + picture.rmse + unit + " over " + subject.sampled + " frames";
    all(".value-low").forEach((each) => { each.textContent = subject.low + unit; });
    all(".value-high").forEach((each) => { each.textContent = subject.high + unit; });
    byId("error-low").textContent = "-" + picture.limit + unit;
    byId("error-high").textContent = picture.limit + unit;
    byId("histogram").innerHTML = picture.histogram;
    byId("command").innerHTML = data.commands[key];
    document.body.dataset.shown = key + " " + name;
  }

  all(".dot").forEach((dot) => {
    dot.addEventListener("mouseenter", () => showTip(dot));
    dot.addEventListener("focus", () => showTip(dot));
    dot.addEventListener("mouseleave", () => { tip.style.opacity = 0; });
    dot.addEventListener("blur", () => { tip.style.opacity = 0; });
    dot.addEventListener("click", () => choose(dot.dataset.key));
  });
  all("tr[data-key]").forEach((row) => row.addEventListener("click", () => choose(row.dataset.key)));
  all(".legend button").forEach((button) => button.addEventListener("click", () => {
    const on = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", String(on));
    all("svg.plot [data-series]").forEach((each) => {
      if (each.dataset.series === button.dataset.series) each.classList.toggle("off", !on);
    });
  }));
  if (byId("point")) {
    byId("point").addEventListener("change", () => choose(byId("point").value));
    byId("variable").addEventListener("change", draw);
    choose(data.first);
  }
  document.body.dataset.ready = "true";
})();
