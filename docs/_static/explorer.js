// The explorer on the front page: F and F' over w, critical points, and Euler's iterates. No library, no request.
"use strict";

(function () {
  const root = document.getElementById("maml-explorer");
  if (!root) return;
  const [LOW, HIGH, POINTS, STEPS] = [0.15, 0.65, 600, 60];
  const SIZE = { width: 640, height: 190, left: 62, right: 12, top: 10, bottom: 34 };
  const SVG = "http://www.w3.org/2000/svg";

  function element(name, attributes, parent, text) {
    const made = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (text !== undefined) made.textContent = text;
    if (parent) parent.appendChild(made);
    return made;
  }

  function slider(name, label, low, high, step, value) {
    const box = document.createElement("label");
    box.className = "maml-slider";
    const caption = document.createElement("span");
    const input = document.createElement("input");
    Object.assign(input, { type: "range", id: "maml-" + name, min: low, max: high, step, value });
    box.append(caption, input);
    controls.appendChild(box);
    return { input, show: (text) => { caption.textContent = label + text; } };
  }

  const controls = document.createElement("div");
  controls.className = "maml-controls";
  const verdict = document.createElement("p");
  verdict.id = "maml-verdict";
  verdict.setAttribute("aria-live", "polite");
  root.append(controls, verdict);
  const alpha = slider("alpha", "inner step size α = ", 0, 0.45, 0.001, 0.4);
  const beta = slider("beta", "Euler's step size β = ", -3, 0, 0.01, -1.7);
  const start = slider("start", "start w₀ = ", LOW, HIGH, 0.005, 0.6);
  const panels = ["F(w)", "F′(w)"].map((title) => {
    const svg = element("svg", { viewBox: `0 0 ${SIZE.width} ${SIZE.height}`, role: "img" });
    element("title", {}, svg, title);
    root.appendChild(svg);
    return { svg, title };
  });

  const across = (w) => SIZE.left + ((w - LOW) / (HIGH - LOW)) * (SIZE.width - SIZE.left - SIZE.right);

  function ticks(low, high) {
    const raw = (high - low) / 4;
    const power = 10 ** Math.floor(Math.log10(raw));
    const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= raw);
    const found = [];
    for (let v = Math.ceil(low / step) * step; v <= high + 1e-12; v += step) found.push(v);
    return { found, digits: Math.max(0, -Math.floor(Math.log10(step) + 1e-9)) };
  }

  function draw(panel, values, w) {
    const { svg, title } = panel;
    svg.querySelectorAll(":scope > *:not(title)").forEach((child) => child.remove());
    let [low, high] = [Math.min(...values), Math.max(...values)];
    const margin = 0.06 * (high - low);
    [low, high] = [low - margin, high + margin];
    const bottom = SIZE.height - SIZE.bottom;
    const up = (v) => bottom - ((v - low) / (high - low)) * (bottom - SIZE.top);
    const vertical = ticks(low, high);
    for (const v of vertical.found) {
      element("line", { x1: SIZE.left, x2: SIZE.width - SIZE.right, y1: up(v), y2: up(v), class: Math.abs(v) < 1e-12 ? "zero" : "grid" }, svg);
      element("text", { x: SIZE.left - 6, y: up(v) + 4, "text-anchor": "end" }, svg, v.toFixed(vertical.digits));
    }
    for (const v of ticks(LOW, HIGH).found) {
      element("text", { x: across(v), y: bottom + 15, "text-anchor": "middle" }, svg, v.toFixed(1));
    }
    element("text", { x: SIZE.width - SIZE.right, y: SIZE.height - 4, "text-anchor": "end", class: "name" }, svg, "w");
    element("text", { x: SIZE.left + 6, y: SIZE.top + 12, class: "name" }, svg, title);
    const points = w.map((x, k) => `${across(x).toFixed(2)},${up(values[k]).toFixed(2)}`);
    element("polyline", { points: points.join(" "), class: "curve" }, svg);
    return up;
  }

  function render() {
    const a = Number(alpha.input.value);
    const b = 10 ** Number(beta.input.value);
    const w0 = Number(start.input.value);
    alpha.show(a.toFixed(3));
    beta.show(b.toPrecision(2));
    start.show(w0.toFixed(3));
    const w = Array.from({ length: POINTS + 1 }, (_, k) => LOW + (k * (HIGH - LOW)) / POINTS);
    const F = w.map((x) => mamlLoss(x, a));
    const critical = criticalPoints(a, LOW, HIGH, 4000);
    const ups = [draw(panels[0], F.map((y) => y.value), w), draw(panels[1], F.map((y) => y.slope), w)];
    for (const point of critical) {
      const shape = { cx: across(point.w), r: 4, class: point.minimum ? "minimum" : "maximum" };
      element("circle", { ...shape, cy: ups[0](mamlLoss(point.w, a).value) }, panels[0].svg);
      element("circle", { ...shape, cy: ups[1](0) }, panels[1].svg);
    }
    let left = 0;
    eulerIterates(w0, a, b, STEPS).forEach((x, k) => {
      if (!(x >= LOW && x <= HIGH)) { left += 1; return; }
      const y = ups[0](mamlLoss(x, a).value);
      element("circle", { cx: across(x), cy: y, r: k === 0 ? 4.5 : 2.6, class: k === 0 ? "start" : "iterate" }, panels[0].svg);
    });
    const proved = provedCount(a, MAML_PROVED_COUNTS);
    const minima = critical.filter((point) => point.minimum).length;
    root.dataset.count = critical.length;
    verdict.textContent =
      `F has ${critical.length} critical point${critical.length === 1 ? "" : "s"} here, ${minima} of them minima` +
      (proved
        ? ` (proved: ${proved[2]} on the whole line for every α from ${proved[0].toFixed(4)} to ${proved[1].toFixed(4)}).`
        : " (so near a value of α at which two of them merge, the number is not proved).") +
      (left ? ` ${left} of ${STEPS + 1} iterates lie outside the picture.` : "");
  }

  for (const control of [alpha, beta, start]) control.input.addEventListener("input", render);
  render();
})();
