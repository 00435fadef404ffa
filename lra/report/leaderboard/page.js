"use strict";
// Texts from rows reach the page through textContent alone.
(() => {
  const root = document.documentElement;
  const find = (id) => document.getElementById(id);
  const body = find("board").tBodies[0];
  const lines = [...body.rows];
  lines.forEach((line, i) => (line.dataset.i = i));
  const columns = {}; // where each stands
  const heads = [...find("board").tHead.rows[0].cells];
  for (const head of heads) columns[head.dataset.column] = head.cellIndex;
  const cell = (line, key) => line.cells[columns[key]];
  const text = (line, key) => (key === "model" ? cell(line, key).firstElementChild : cell(line, key)).textContent;

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
  const sortable = heads.filter((head) => head.dataset.kind);
  const value = (line, key, kind) => {
    const said = text(line, key);
    if (kind === "text") return said.toLowerCase();
    const number = parseFloat(said.replaceAll(",", ""));
    return Number.isNaN(number) ? null : number;
  };
  const usual = (head) => (head.dataset.kind === "number" && head.cellIndex !== 0 ? "descending" : "ascending");
  function order(head, way) { // without a head: as the lines were
    sortable.forEach((h) => h.removeAttribute("aria-sort"));
    if (head) head.setAttribute("aria-sort", way);
    const { column, kind } = head ? head.dataset : {};
    const sign = way === "descending" ? -1 : 1;
    const keyed = lines.map((line) => [head ? value(line, column, kind) : Number(line.dataset.i), line]);
    keyed.sort(([a], [b]) => {
      if (a === null || b === null) return (a === null) - (b === null); // missing ones: last
      return sign * (a < b ? -1 : a > b ? 1 : 0);
    });
    lines.splice(0, lines.length, ...keyed.map(([, line]) => line));
    body.replaceChildren(...lines);
  }
  sortable.forEach((head) => {
    const button = element("button", head.textContent);
    button.type = "button";
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const other = usual(head) === "ascending" ? "descending" : "ascending";
      order(head, head.getAttribute("aria-sort") === usual(head) ? other : usual(head));
      filter();
    });
  });

  // ---- filters, kept in the address with the sorting so that a view can be shared
  const form = find("filters");
  const selects = [...form.querySelectorAll("select")];
  const FEW = Number(root.dataset.few); // lines that are laid out; the rest at the press of a button
  const usually = { protocol: root.dataset.usual, origin: root.dataset.here }; // the first view
  let all = false;
  let redraw = () => {}; // the charts, once they are there
  const shown = []; // the lines that fit
  function openable(line) {
    const name = cell(line, "model").firstElementChild;
    if (name.tagName === "BUTTON") return;
    const button = element("button", name.textContent);
    button.type = "button";
    name.replaceWith(button);
  }
  function fits(line, key, wanted) {
    if (key === "matched") return line.dataset.matched === wanted;
    return key === "origin" && wanted === root.dataset.here ? "here" in line.dataset : text(line, key) === wanted;
  }
  function filter() {
    const word = find("search").value.trim().toLowerCase();
    const wanted = selects.filter((s) => s.value).map((s) => [s.dataset.key, s.value]);
    shown.length = 0;
    for (const line of lines) {
      const chosen =
        text(line, "model").toLowerCase().includes(word) && wanted.every(([key, v]) => fits(line, key, v));
      if (chosen) shown.push(line);
      line.hidden = !chosen;
      line.classList.toggle("later", chosen && !all && shown.length > FEW); // on paper all are there
      if (chosen && (all || shown.length <= FEW)) openable(line);
    }
    root.classList.remove("few"); // from here on the lines say it themselves
    find("more").hidden = all || shown.length <= FEW;
    find("more").textContent = `show all ${shown.length.toLocaleString("en")} lines`;
    find("count").textContent = `${shown.length.toLocaleString("en")} of ${lines.length.toLocaleString("en")} lines`;
    const state = new URLSearchParams(wanted);
    for (const key in usually) if (!state.has(key)) state.set(key, ""); // all, not the first view
    if (word) state.set("model", word);
    const sorted = sortable.find((h) => h.hasAttribute("aria-sort"));
    if (sorted) state.set("sort", `${sorted.dataset.column} ${sorted.getAttribute("aria-sort")}`);
    history.replaceState(null, "", `#${state}`);
    redraw();
  }
  function view(state) {
    find("search").value = state.get("model") ?? "";
    selects.forEach((s) => (s.value = state.get(s.dataset.key) ?? ""));
    selects.forEach((s) => s.selectedIndex < 0 && (s.value = ""));
    const [column, way] = (state.get("sort") ?? "").split(" ");
    const head = sortable.find((h) => h.dataset.column === column);
    if (head || sortable.some((h) => h.hasAttribute("aria-sort"))) order(head, way);
    filter();
  }
  find("more").addEventListener("click", () => {
    all = true;
    filter();
  });
  form.addEventListener("input", (event) => event.target.closest("#columns") || filter());
  form.addEventListener("reset", () =>
    setTimeout(() => {
      find("chosen").textContent = ""; // all columns as at first
      view(new URLSearchParams(usually));
    }, 0)
  );
  form.addEventListener("submit", (event) => event.preventDefault());
  find("every").addEventListener("click", () => view(new URLSearchParams()));
  find("narrow").open = window.innerWidth > 800; // on a phone the first number comes first
  view(new URLSearchParams(location.hash.length > 1 ? location.hash.slice(1) : usually));

  // ---- columns: a narrow page shows fewer unless a reader asks for them
  const boxes = heads.map((head) => {
    const label = element("label", undefined, find("columns").lastElementChild);
    const box = element("input", undefined, label);
    box.type = "checkbox";
    box.defaultChecked = !(window.innerWidth <= Number(head.dataset.below ?? 0)); // reset's, too
    label.append(head.textContent);
    box.addEventListener("change", () => {
      find("chosen").textContent = boxes
        .map(({ checked }, i) => `#board tr > :nth-child(${i + 1}) { display: ${checked ? "table-cell" : "none"} !important; }`)
        .join("\n");
    });
    return box;
  });

  // ---- the lines that are shown, as a file
  find("csv").addEventListener("click", () => {
    const quoted = (said) => `"${said.replaceAll('"', '""')}"`;
    const keys = heads.map((head) => head.dataset.column);
    const said = (line, key) => (key === "badges" ? [...cell(line, key).querySelectorAll(".badge")].map((b) => b.textContent).join("; ") : text(line, key));
    const rows = [heads.map((head) => head.textContent), ...shown.map((line) => keys.map((key) => said(line, key)))];
    const link = element("a");
    link.href = URL.createObjectURL(new Blob([rows.map((row) => row.map(quoted).join(",") + "\n").join("")], { type: "text/csv" }));
    link.download = "leaderboard.csv";
    link.click();
    URL.revokeObjectURL(link.href);
  });

  // ---- models by tasks, one protocol at a time
  const choice = find("grid_choice");
  const one_grid = () => {
    for (const grid of document.querySelectorAll(".grid")) grid.classList.toggle("other", grid.dataset.protocol !== choice.value);
  };
  if (choice) {
    choice.addEventListener("change", one_grid);
    one_grid();
  }

  // ---- provenance
  const dialog = find("provenance");
  body.addEventListener("click", async (event) => {
    const line = event.target.closest("tr");
    if (!line) return;
    open(line, await from(line));
  });
  const from = async (line) => {
    provenance ??= unpacked("data").then(JSON.parse);
    return (await provenance)[line.dataset.i];
  };
  const titled = (line) => ["model", "task", "variant", "protocol"].map((key) => text(line, key)).join(" · ");
  function open(line, { facts, seeds = [], config = {}, links = [], cite = [], against = {} }) {
    find("provenance_title").textContent = titled(line);
    const into = find("provenance_body");
    into.replaceChildren(cell(line, "badges").firstElementChild.cloneNode(true));
    const paragraph = element("p", undefined, into);
    for (const [said, address] of links) {
      if (!address.startsWith("https://") && address.includes(":")) continue; // no other scheme
      element("a", said, paragraph).href = address;
      paragraph.append(" ");
    }
    if (seeds.length) {
      const button = element("button", "add to comparison", paragraph);
      button.type = "button";
      button.addEventListener("click", () => {
        compared = [...compared.filter((other) => other !== line), line].slice(-3);
        tray();
        dialog.close();
      });
    }
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
      if (seed.confusion) matrix(seed.confusion, into);
    }
    const rivals = Object.entries(against);
    if (rivals.length) {
      const details = element("details", undefined, into);
      element("summary", "against the other lines", details);
      const list = element("dl", undefined, details);
      for (const [name, p] of rivals) {
        element("dt", name, list);
        element("dd", tested(p), list);
      }
    }
    if (cite.length) {
      const details = element("details", undefined, into);
      element("summary", "BibTeX", details);
      const entries = element("pre", cite.join("\n"), details);
      const copy = element("button", "copy", details);
      copy.type = "button";
      copy.addEventListener("click", async () => {
        getSelection().selectAllChildren(entries); // where the clipboard is closed, a key copies it
        await navigator.clipboard?.writeText(entries.textContent).catch(() => {});
        copy.textContent = "copied";
      });
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
  const tested = (p) => `p = ${p}: ${p < 0.05 ? "differ" : "cannot be told apart"}, by this pair alone`;
  function matrix(counts, into) {
    const details = element("details", undefined, into);
    element("summary", "confusion matrix", details);
    const table = element("table", undefined, details);
    table.className = "confusion";
    element("caption", "a line is the true class, a column the predicted one", table);
    const most = Math.max(...counts.flat());
    const head = element("tr", undefined, table);
    element("th", "", head);
    counts.forEach((_, k) => (element("th", k, head).scope = "col"));
    counts.forEach((row, k) => {
      const line = element("tr", undefined, table);
      element("th", k, line).scope = "row";
      row.forEach((n) => element("td", n.toLocaleString("en"), line).style.setProperty("--share", `${Math.round((80 * n) / most)}%`));
    });
  }

  // ---- two or three lines side by side
  let compared = [];
  function tray() {
    find("tray").hidden = !compared.length;
    find("tray").firstElementChild.textContent = compared.map(titled).join("  |  ");
    find("compare").disabled = compared.length < 2;
  }
  find("forget").addEventListener("click", () => {
    compared = [];
    tray();
  });
  find("compare").addEventListener("click", async () => {
    const sources = await Promise.all(compared.map(from));
    find("provenance_title").textContent = "Side by side";
    const wrap = element("div");
    wrap.className = "wide";
    const table = element("table", undefined, wrap);
    for (const head of heads) {
      if (head.dataset.column === "badges") continue;
      const row = element("tr", undefined, table);
      element("th", head.textContent, row).scope = "row";
      compared.forEach((line) => element("td", text(line, head.dataset.column), row));
    }
    const list = element("dl");
    compared.forEach((a, i) =>
      compared.slice(i + 1).forEach((b) => {
        const same = ["task", "variant", "protocol"].every((key) => text(a, key) === text(b, key));
        const p = same ? sources[i].against?.[text(b, "model")] : undefined;
        element("dt", `${text(a, "model")} and ${text(b, "model")}`, list);
        element("dd", !same ? "lines of different tables do not compare" : p === undefined ? "predictions are not stored" : tested(p), list);
      })
    );
    find("provenance_body").replaceChildren(wrap, list);
    dialog.showModal();
  });

  // ---- charts of the lines that are shown; a model has the colour that it has in every picture
  const colours = ["#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#7f7f7f", "#8C8C00"]; // of seeds
  function ticks(values) { // 1, 2 and 5 of each power of ten, written out
    const [low, high] = [Math.min(...values), Math.max(...values)];
    const found = [];
    for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high) + 1; power++)
      for (const digit of [1, 2, 5]) found.push(Number(`${digit}e${power}`));
    return { type: "log", tickvals: found, ticktext: found.map((n) => n.toLocaleString("en", { maximumFractionDigits: 6 })) };
  }
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
    const traces = points.map((p) => ({
      x: [p.speed], y: [p.score], name: plain(p.model), text: [plain(p.model)], mode: "markers+text",
      textposition: "top center",
      error_y: { type: "data", array: [p.error[0]], arrayminus: [p.error[1]], thickness: 1 },
      marker: { size: [8 + 34 * Math.sqrt(p.memory / largest)], opacity: 0.65, color: p.style[0], line: { color: css("--ink"), width: 1 } },
      hovertemplate: `${plain(p.model)}<br>${p.score.toFixed(2)} (${plain(p.metric)})<br>${p.speed.toFixed(1)} examples/s<br>${p.memory.toFixed(0)} MB<extra></extra>`,
    }));
    Plotly.react("trade_off", traces, layout("training examples/s (area: peak memory)", `test ${plain(points[0].metric)}`, { xaxis: ticks(points.map((p) => p.speed)) }), settings);
  }
  function lengths(Plotly, series, name) {
    const last = (s) => s.points.at(-1)?.[1] ?? 0;
    const ordered = [...series].sort((a, b) => last(b) - last(a)); // the legend as the lines end
    const traces = ordered.map((s) => ({
      x: s.points.map((p) => p[0]), y: s.points.map((p) => p[1]), name: plain(s.name), mode: "lines+markers",
      line: { color: s.style[0], width: 1.5, dash: s.style[3] ? "dash" : "solid" }, marker: { symbol: s.style[2], size: 6 },
    }));
    const ns = [...new Set(series.flatMap((s) => s.points.map((p) => p[0])))].sort((a, b) => a - b);
    const look = {
      legend: window.innerWidth > 800,
      xaxis: { type: "log", tickvals: ns, ticktext: ns.map((n) => n.toLocaleString("en")) },
      yaxis: ticks(series.flatMap((s) => s.points.map((p) => p[1]))),
    };
    Plotly.react("lengths", traces, layout("length N", name.split(": ")[1], look), settings);
  }
  // Returns a function that draws again, with the options of which something is shown.
  function choose(id, options, of, draw) {
    const select = find(id);
    const again = () => {
      const wanted = select.value;
      const there = Object.keys(options).filter((name) => of(options[name]).length);
      select.replaceChildren(...there.map((name) => element("option", name)));
      if (there.includes(wanted)) select.value = wanted;
      select.closest("figure").classList.toggle("other", !there.length);
      if (there.length) draw(of(options[select.value]), select.value);
    };
    select.addEventListener("change", () => draw(of(options[select.value]), select.value));
    again();
    return again;
  }
  Promise.all([unpacked("charted"), plotly]).then(([charted, Plotly]) => {
    const charts = JSON.parse(charted);
    if (!Object.keys(charts.lengths).length) return find("charts").remove();
    find("conditions").textContent = `Speed and memory in the charts: python -m lra.efficiency, ${charts.conditions}; above at length ${charts.longest.toLocaleString("en")}. In the table they are those of each run on its task.`;
    const at = (line) => ["model", "task", "variant", "protocol"].map((key) => text(line, key)).join("\n");
    let places, models; // of the lines that are shown
    const look = () => {
      places = new Set(shown.map(at));
      models = new Set(shown.map((line) => text(line, "model").replace(/ \(yours\)$/, "")));
    };
    look();
    const pointed = (points) => points.filter((p) => places.has([p.model, ...p.line].join("\n")));
    const measured = (series) => { // the lab's lines of these models; of none of them: all
      const found = series.filter((s) => models.has(s.model) || models.has(s.model.replace(/_explicit$/, "")));
      return found.length ? found : series;
    };
    const again = [
      choose("trade_off_choice", charts.trade_off, pointed, (points) => trade_off(Plotly, points)),
      choose("lengths_choice", charts.lengths, measured, (series, name) => lengths(Plotly, series, name)),
    ];
    redraw = () => {
      look();
      again.forEach((draw) => draw());
    };
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
    root.dataset.ready = "charts";
  });
  root.dataset.ready = "table";
})();
