"use strict";
// Texts from rows reach the page through textContent alone.
(() => {
  const root = document.documentElement;
  const find = (id) => document.getElementById(id);
  const body = find("board").tBodies[0];
  const lines = [...body.rows];
  lines.forEach((line, i) => (line.dataset.i = i));
  const columns = {}; // where each stands
  for (const head of document.querySelectorAll("thead th")) columns[head.dataset.column] = head.cellIndex;

  async function unpacked(id) {
    const bytes = Uint8Array.from(atob(find(id).textContent), (c) => c.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Response(stream).text();
  }
  let provenance; // read at the first click
  // the charts' library is read when the table stands; it defines window.Plotly
  const plotly = new Promise((ready) => requestAnimationFrame(() => setTimeout(ready, 0))).then(
    async () => {
      const script = document.createElement("script");
      script.textContent = await unpacked("plotly");
      document.head.append(script);
      return window.Plotly;
    }
  );

  function element(tag, text, parent) {
    const made = document.createElement(tag);
    if (text !== undefined) made.textContent = text;
    if (parent) parent.append(made);
    return made;
  }

  // ---- sorting
  const heads = [...document.querySelectorAll("thead th[data-kind]")];
  const value = (line, column, kind) => {
    const text = line.cells[column].textContent;
    if (kind === "text") return text.toLowerCase();
    const number = parseFloat(text.replaceAll(",", ""));
    return Number.isNaN(number) ? null : number;
  };
  function sort(head) {
    const { kind } = head.dataset;
    const column = head.cellIndex;
    const first = kind === "number" && column !== 0 ? "descending" : "ascending";
    const other = first === "ascending" ? "descending" : "ascending";
    const order = head.getAttribute("aria-sort") === first ? other : first;
    heads.forEach((h) => h.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", order);
    const sign = order === "ascending" ? 1 : -1;
    const keyed = lines.map((line) => [value(line, column, kind), line]);
    keyed.sort(([a], [b]) => {
      if (a === null || b === null) return (a === null) - (b === null); // what is missing: last
      return sign * (a < b ? -1 : a > b ? 1 : 0);
    });
    lines.splice(0, lines.length, ...keyed.map(([, line]) => line));
    body.replaceChildren(...lines);
    filter();
  }
  heads.forEach((head) => {
    const button = element("button", head.textContent);
    button.type = "button";
    head.replaceChildren(button);
    button.addEventListener("click", () => sort(head));
  });

  // ---- filters, kept in the address so that a view can be shared
  const form = find("filters");
  const selects = [...form.querySelectorAll("select")];
  const text = (line, key) => line.cells[columns[key]].textContent;
  const FEW = Number(root.dataset.few); // lines that are laid out; the rest at the press of a button
  let all = false;
  function openable(line) {
    const cell = line.cells[columns.model];
    if (cell.firstElementChild) return;
    const button = element("button", cell.textContent);
    button.type = "button";
    cell.replaceChildren(button);
  }
  function filter() {
    const word = find("search").value.trim().toLowerCase();
    const wanted = selects.filter((s) => s.value).map((s) => [s.dataset.key, s.value]);
    let shown = 0;
    for (const line of lines) {
      const fits =
        text(line, "model").toLowerCase().includes(word) &&
        wanted.every(([key, v]) => (key === "matched" ? line.dataset.matched : text(line, key)) === v);
      shown += fits;
      line.hidden = !fits || (!all && shown > FEW);
      if (!line.hidden) openable(line);
    }
    root.classList.remove("few"); // from here on `hidden` says it
    find("more").hidden = all || shown <= FEW;
    find("more").textContent = `show all ${shown.toLocaleString("en")} lines`;
    find("count").textContent = `${shown.toLocaleString("en")} of ${lines.length.toLocaleString("en")} lines`;
    const state = new URLSearchParams(wanted);
    if (word) state.set("model", word);
    history.replaceState(null, "", `#${state}`);
  }
  const state = new URLSearchParams(location.hash.slice(1));
  find("search").value = state.get("model") ?? "";
  selects.forEach((s) => (s.value = state.get(s.dataset.key) ?? ""));
  selects.forEach((s) => s.selectedIndex < 0 && (s.value = ""));
  find("more").addEventListener("click", () => {
    all = true;
    filter();
  });
  form.addEventListener("input", filter);
  form.addEventListener("reset", () => setTimeout(filter, 0));
  form.addEventListener("submit", (event) => event.preventDefault());
  filter();

  // ---- provenance
  const dialog = find("provenance");
  body.addEventListener("click", async (event) => {
    const line = event.target.closest("tr");
    if (!line) return;
    provenance ??= unpacked("data").then(JSON.parse);
    open(line, (await provenance)[line.dataset.i]);
  });
  function open(line, { facts, seeds = [], config = {} }) {
    const title = ["model", "task", "variant", "protocol"].map((key) => text(line, key));
    find("provenance_title").textContent = title.join(" · ");
    const into = find("provenance_body");
    into.replaceChildren(line.cells[columns.badges].firstElementChild.cloneNode(true));
    const list = element("dl", undefined, into);
    for (const [name, fact] of facts) {
      element("dt", name, list);
      element("dd", fact, list);
    }
    const curves = seeds.filter((s) => s.curve.length);
    if (curves.length) draw_curves(element("div", undefined, into), curves);
    for (const seed of seeds) {
      element("p", `seed ${seed.seed}: test ${seed.test}, val ${seed.val}; row ${seed.row}`, into);
      element("pre", seed.command, into);
    }
    const settings = Object.entries(config);
    if (settings.length) {
      const details = element("details", undefined, into);
      element("summary", "configuration", details);
      element("pre", settings.map(([k, v]) => `${k}: ${v}`).join("\n"), details);
    }
    dialog.showModal();
  }
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());

  // ---- charts; colours of Okabe and Ito, a marker for each
  const colours = ["#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#7f7f7f", "#8C8C00"];
  const symbols = ["circle", "square", "triangle-up", "diamond", "triangle-down", "cross", "x", "star", "pentagon", "hexagon", "hourglass"];
  const css = (name) => getComputedStyle(root).getPropertyValue(name).trim();
  function layout(x, y, more = {}) {
    const axis = { gridcolor: css("--line"), zerolinecolor: css("--line") };
    return {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { color: css("--ink"), size: 12 }, margin: { l: 60, r: 10, t: 10, b: 45 },
      xaxis: { ...axis, title: { text: x }, ...more.xaxis }, yaxis: { ...axis, title: { text: y }, ...more.yaxis },
      showlegend: more.legend ?? false, legend: { font: { size: 10 } }, hovermode: "closest",
    };
  }
  const settings = { displayModeBar: false, responsive: true };
  // plotly reads some HTML in its texts: a name is text
  const plain = (s) => String(s).replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");

  async function draw_curves(place, seeds) {
    place.className = "chart";
    const traces = seeds.map((s, i) => ({
      x: s.curve.map((p) => p[0]), y: s.curve.map((p) => p[2]), name: `seed ${s.seed}`,
      mode: "lines+markers", line: { color: colours[i % colours.length] },
    }));
    (await plotly).newPlot(place, traces, layout("step", `val ${plain(seeds[0].metric)}`, { legend: seeds.length > 1 }), settings);
  }
  function trade_off(Plotly, points) {
    const largest = Math.max(...points.map((p) => p.memory));
    const traces = points.map((p, i) => ({
      x: [p.speed], y: [p.score], name: plain(p.model), text: [plain(p.model)], mode: "markers+text",
      textposition: "top center",
      error_y: { type: "data", array: [p.error[0]], arrayminus: [p.error[1]], thickness: 1 },
      marker: { size: [8 + 34 * Math.sqrt(p.memory / largest)], opacity: 0.65, color: colours[i % colours.length], line: { color: css("--ink"), width: 1 } },
      hovertemplate: `${plain(p.model)}<br>${p.score.toFixed(2)} (${plain(p.metric)})<br>${p.speed.toFixed(1)} examples/s<br>${p.memory.toFixed(0)} MB<extra></extra>`,
    }));
    Plotly.react("trade_off", traces, layout("training examples/s (area: peak memory)", `test ${plain(points[0].metric)}`, { xaxis: { type: "log", dtick: "D2" } }), settings);
  }
  function lengths(Plotly, series, name) {
    const last = (s) => s.points.at(-1)?.[1] ?? 0;
    const ordered = [...series].sort((a, b) => last(b) - last(a)); // the legend as the lines end
    const traces = ordered.map((s, i) => ({
      x: s.points.map((p) => p[0]), y: s.points.map((p) => p[1]), name: plain(s.name), mode: "lines+markers",
      line: { color: colours[i % colours.length], width: 1.5 }, marker: { symbol: symbols[i % symbols.length], size: 6 },
    }));
    const ticks = [...new Set(series.flatMap((s) => s.points.map((p) => p[0])))].sort((a, b) => a - b);
    const look = { legend: window.innerWidth > 800, xaxis: { type: "log", tickvals: ticks, ticktext: ticks.map((t) => t.toLocaleString("en")) }, yaxis: { type: "log", dtick: "D2" } };
    Plotly.react("lengths", traces, layout("length N", name.split(": ")[1], look), settings);
  }
  function choose(id, options, draw) {
    const select = find(id);
    Object.keys(options).forEach((name) => element("option", name, select));
    select.addEventListener("change", () => draw(select.value));
    if (select.value) draw(select.value);
    return () => select.value && draw(select.value);
  }
  Promise.all([unpacked("charted"), plotly]).then(([text, Plotly]) => {
    const charts = JSON.parse(text);
    if (!Object.keys(charts.lengths).length) return find("charts").remove();
    find("conditions").textContent = `Speed and memory in the charts: python -m lra.efficiency, ${charts.conditions}; above at length ${charts.longest.toLocaleString("en")}. In the table they are those of each run on its task.`;
    const again = [
      choose("trade_off_choice", charts.trade_off, (name) => trade_off(Plotly, charts.trade_off[name])),
      choose("lengths_choice", charts.lengths, (name) => lengths(Plotly, charts.lengths[name], name)),
    ];
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => again.forEach((f) => f()));
    root.dataset.ready = "charts";
  });
  root.dataset.ready = "table";
})();
