// Figure 1's two tasks, f_i(w) = a_i w^2 - b_i sin(omega_i w), and the MAML loss F(w) = mean f_i(w - alpha f_i'(w)).
"use strict";

const TASKS = [
  { a: 0.505, b: 1.0, omega: 1.0 },
  { a: 0.505, b: 1e-4, omega: 100.0 },
];

function taskDerivatives(task, w) {
  const s = Math.sin(task.omega * w);
  const c = Math.cos(task.omega * w);
  return {
    value: task.a * w * w - task.b * s,
    slope: 2 * task.a * w - task.b * task.omega * c,
    curvature: 2 * task.a + task.b * task.omega * task.omega * s,
  };
}

// F and F' at w.
function mamlLoss(w, alpha) {
  let value = 0;
  let slope = 0;
  for (const task of TASKS) {
    const here = taskDerivatives(task, w);
    const there = taskDerivatives(task, w - alpha * here.slope);
    value += there.value;
    slope += (1 - alpha * here.curvature) * there.slope;
  }
  return { value: value / TASKS.length, slope: slope / TASKS.length };
}

// Critical points between low and high: sign changes of F' on a grid, refined by bisection.
function criticalPoints(alpha, low, high, cells) {
  const found = [];
  const width = (high - low) / cells;
  let left = mamlLoss(low, alpha).slope;
  for (let k = 1; k <= cells; k += 1) {
    const right = mamlLoss(low + k * width, alpha).slope;
    if (left * right < 0 || right === 0) {
      let [p, q] = [low + (k - 1) * width, low + k * width];
      for (let step = 0; step < 60; step += 1) {
        const middle = 0.5 * (p + q);
        if (mamlLoss(middle, alpha).slope * left > 0) p = middle;
        else q = middle;
      }
      found.push({ w: 0.5 * (p + q), minimum: left < 0 });
    }
    left = right;
  }
  return found;
}

// MAML itself: w - beta F'(w), all iterates from the start on.
function eulerIterates(start, alpha, beta, steps) {
  const path = [start];
  for (let k = 0; k < steps; k += 1) {
    const w = path[path.length - 1];
    path.push(w - beta * mamlLoss(w, alpha).slope);
  }
  return path;
}

// The count that is proved for every alpha of an interval that holds this one, or null.
function provedCount(alpha, table) {
  for (const row of table) {
    if (row[0] <= alpha && alpha <= row[1]) return row[2] < 0 ? null : row;
  }
  return null;
}

if (typeof module !== "undefined") {
  module.exports = { criticalPoints, eulerIterates, mamlLoss, provedCount };
}
