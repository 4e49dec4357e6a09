"use strict";
// Tables: a click on a heading sorts; long tables get a filter. Without this script they stand as they are.
(() => {
  const units = { K: 1e3, M: 1e6, B: 1e9, T: 1e12 };
  const value = (text) => {
    const found = /^(-?[\d.,]+(?:e[-+]?\d+)?)(?: ([KMBT]))?(?: to .*)?$/.exec(text);
    return found ? parseFloat(found[1].replace(/,/g, "")) * (units[found[2]] || 1) : text;
  };
  const compare = (a, b) => {
    if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1;
    return a < b ? -1 : a > b ? 1 : 0;
  };
  const sortable = (table) => {
    const body = table.tBodies[0];
    [...table.tHead.rows[0].cells].forEach((head, column) => {
      const button = document.createElement("button");
      button.textContent = head.textContent;
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") === "ascending";
        for (const other of head.parentNode.cells) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const key = (row) => value(row.cells[column].textContent);
        const rows = [...body.rows].sort((a, b) => compare(key(a), key(b)));
        body.append(...(down ? rows.reverse() : rows));
      });
    });
  };
  const filterable = (table) => {
    const input = document.createElement("input");
    input.className = "filter";
    input.type = "search";
    input.placeholder = "filter rows: a number matches a whole cell";
    input.setAttribute("aria-label", "Filter rows");
    table.parentNode.before(input);
    input.addEventListener("input", () => {
      const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      for (const row of table.tBodies[0].rows) {
        const cells = [...row.cells].map((cell) => cell.textContent.toLowerCase());
        const has = (word) => cells.some((cell) => (/^[\d.,]+$/.test(word) ? cell === word || cell.startsWith(word + " ") : cell.includes(word)));
        row.hidden = !words.every(has);
      }
    });
  };
  for (const table of document.querySelectorAll("table")) {
    if (table.tHead) sortable(table);
    if (table.parentNode.className === "tall") filterable(table);
  }
})();

// The chart of one slice: pick an axis and a value; the pointer reads the nearest run.
(() => {
  const holder = document.getElementById("slice-chart");
  if (!holder) return;
  const data = JSON.parse(document.getElementById("slice-data").textContent);
  const [width, height, left, right, top, bottom] = [920, 380, 70, 150, 16, 48];
  const make = (name, attributes, parent, text) => {
    const node = document.createElementNS(holder.querySelector("svg").namespaceURI, name);
    for (const [key, val] of Object.entries(attributes)) node.setAttribute(key, val);
    if (text !== undefined) node.textContent = text;
    parent.append(node);
    return node;
  };
  const human = (x) => {
    for (const [unit, size] of [["T", 1e12], ["B", 1e9], ["M", 1e6], ["K", 1e3]])
      if (x >= size * (unit === "K" ? 10 : 0.9995)) return `${+(x / size).toPrecision(3)} ${unit}`;
    return `${+x.toPrecision(3)}`;
  };
  holder.hidden = false;
  holder.innerHTML =
    '<div class="controls"><b>One slice</b>' +
    data.axes.map((axis, i) => `<label><input type="radio" name="axis" value="${i}"> against ${axis.x_name}, at one ${axis.symbol}</label>`).join("") +
    '<label><input type="range" min="0" step="1"> <output></output></label>' +
    '<label><input type="checkbox"> zoom to the slice</label></div><svg role="img"></svg><p class="said"></p>';
  const svg = holder.querySelector("svg");
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  const radios = [...holder.querySelectorAll('[type="radio"]')];
  const range = holder.querySelector('[type="range"]');
  const zoom = holder.querySelector('[type="checkbox"]');
  const chosen = () => data.axes[radios.findIndex((radio) => radio.checked)];

  const means = (slice) => {
    const sums = new Map();
    for (const [x, loss] of slice.runs) {
      const [sum, n] = sums.get(x) || [0, 0];
      sums.set(x, [sum + loss, n + 1]);
    }
    return [...sums].map(([x, [sum, n]]) => [x, sum / n]).sort((a, b) => a[0] - b[0]);
  };
  const frame = (slice) => {
    if (!zoom.checked) return data.frame;
    const losses = slice.runs.map((run) => run[1]).concat(slice.minimum ? [slice.minimum[1]] : []);
    const margin = 0.08 * (Math.max(...losses) - Math.min(...losses)) || 0.01;
    return [Math.min(...losses) - margin, Math.max(...losses) + margin];
  };
  const ticks = ([low, high]) => {
    const raw = (high - low) / 6;
    const size = 10 ** Math.floor(Math.log10(raw));
    const step = [1, 2, 5, 10].map((k) => k * size).find((s) => s >= raw);
    const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
    const found = [];
    for (let k = Math.ceil(low / step); k * step <= high; k += 1) found.push([k * step, (k * step).toFixed(digits)]);
    return found;
  };
  const sentence = (axis, slice) => {
    const start = `${axis.symbol} = ${slice.label}: `;
    if (!slice.minimum) return `${start}no place of a minimum can be told from noise.`;
    const [x, loss] = slice.minimum;
    if (slice.status !== "interior") return `${start}lowest at the edge of the grid, ${loss.toFixed(4)} at ${human(x)} ${axis.x_name}.`;
    const span = slice.interval || {};
    const at = span.x_opt ? ` (95 % ${human(span.x_opt[0])} to ${human(span.x_opt[1])})` : "";
    const of = span.loss_opt ? ` (95 % ${span.loss_opt[0].toFixed(4)} to ${span.loss_opt[1].toFixed(4)})` : "";
    return `${start}lowest loss ${loss.toFixed(4)}${of} at ${human(x)} ${axis.x_name}${at}.`;
  };

  const draw = () => {
    const axis = chosen();
    const slice = axis.slices[+range.value];
    const xs = axis.ticks.map((tick) => tick[0]);
    const [low, high] = frame(slice);
    const [from, to] = [Math.log(Math.min(...xs)) - 0.15, Math.log(Math.max(...xs)) + 0.15];
    const px = (x) => left + ((Math.log(x) - from) / (to - from)) * (width - left - right);
    const py = (loss) => height - bottom - ((loss - low) / (high - low)) * (height - top - bottom);
    const path = (points) => points.map(([x, y], i) => `${i ? "L" : "M"}${px(x).toFixed(1)} ${py(y).toFixed(1)}`).join("");
    svg.replaceChildren();
    for (const [loss, text] of ticks([low, high])) {
      make("line", { x1: left, x2: width - right, y1: py(loss), y2: py(loss), stroke: "#e8e8e8" }, svg);
      make("text", { x: left - 8, y: py(loss) + 4, "text-anchor": "end", fill: "#333" }, svg, text);
    }
    for (const [x, text] of axis.ticks) make("text", { x: px(x), y: height - bottom + 18, "text-anchor": "middle", fill: "#333" }, svg, text);
    make("text", { x: (left + width - right) / 2, y: height - 8, "text-anchor": "middle", fill: "#333" }, svg, axis.x_label);
    make("text", { x: 14, y: (top + height - bottom) / 2, transform: `rotate(-90 14 ${(top + height - bottom) / 2})`, "text-anchor": "middle", fill: "#333" }, svg, "held-out loss L");
    const box = [left, top, width - left - right, height - top - bottom];
    const [x, y, w, h] = box;
    const inside = make("svg", { x, y, width: w, height: h, viewBox: box.join(" ") }, svg); // clips what lies outside
    for (const other of axis.slices) if (other !== slice) make("path", { d: path(means(other)), fill: "none", stroke: "#c9c9c9" }, inside);
    for (const [text, loss] of data.levels) {
      if (loss < low || loss > high) continue;
      make("line", { x1: left, x2: width - right, y1: py(loss), y2: py(loss), stroke: "#6b6b6b", "stroke-dasharray": "5 4" }, svg);
      make("text", { x: width - right + 8, y: py(loss) + 4, fill: "#6b6b6b" }, svg, text);
    }
    make("path", { d: path(means(slice)), fill: "none", stroke: "#0072B2", "stroke-width": 2.2 }, inside);
    const dots = slice.runs.map(([x, loss, seed]) => [make("circle", { cx: px(x), cy: py(loss), r: 4, fill: "#0072B2", "fill-opacity": 0.55 }, inside), x, loss, seed]);
    if (slice.minimum) {
      const [x, loss] = slice.minimum.map((v, i) => (i ? py(v) : px(v)));
      const span = slice.interval || {};
      const bar = { stroke: "#D55E00", "stroke-width": 2 };
      if (span.x_opt) make("line", { x1: px(span.x_opt[0]), x2: px(span.x_opt[1]), y1: loss, y2: loss, ...bar }, inside);
      if (span.loss_opt) make("line", { x1: x, x2: x, y1: py(span.loss_opt[0]), y2: py(span.loss_opt[1]), ...bar }, inside);
      const fill = slice.status === "interior" ? "#D55E00" : "#fff";
      make("path", { d: `M${x} ${loss - 7}l7 7l-7 7l-7 -7z`, fill, stroke: "#D55E00", "stroke-width": 2 }, inside);
    }
    const summary = sentence(axis, slice);
    const said = holder.querySelector(".said");
    said.textContent = summary;
    holder.querySelector("output").textContent = `${axis.symbol} = ${slice.label}`;
    svg.setAttribute("aria-label", summary);
    svg.onpointermove = (event) => {
      const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
      const far = ([node]) => Math.hypot(node.getAttribute("cx") - point.x, node.getAttribute("cy") - point.y);
      const near = dots.reduce((a, b) => (far(b) < far(a) ? b : a));
      for (const [node] of dots) node.setAttribute("r", node === near[0] && far(near) < 40 ? 7 : 4);
      said.textContent = far(near) < 40 ? `${summary} Run at ${human(near[1])} ${axis.x_name}, seed ${near[3]}: ${near[2].toFixed(5)}.` : summary;
    };
  };
  const choose = () => {
    const { slices } = chosen();
    range.max = slices.length - 1;
    range.value = Math.floor((slices.length - 1) / 2);
    draw();
  };
  for (const radio of radios) radio.addEventListener("change", choose);
  range.addEventListener("input", draw);
  zoom.addEventListener("change", draw);
  radios[0].checked = true;
  choose();
})();
