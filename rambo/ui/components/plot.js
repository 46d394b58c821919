// One Plotly chart per Streamlit element: `newPlot` once, then `react`. Streamlit calls the default
// function again whenever the payload or the theme changed; the element itself stays.

const charts = new WeakMap(); // Streamlit's element -> our chart
const LEISURE = 3000; // milliseconds after which a chart is drawn that nobody looks at
const TYPES = {
  i1: Int8Array, u1: Uint8Array, i2: Int16Array, u2: Uint16Array,
  i4: Int32Array, u4: Uint32Array, f4: Float32Array, f8: Float64Array,
};

export default function (component, unpack) {
  const parent = component.parentElement;
  if (!charts.has(parent)) charts.set(parent, new Chart(parent, unpack));
  const chart = charts.get(parent);
  chart.show(component);
  // Streamlit also calls this for a message that a newer one overtook: only a gone element counts.
  return () => setTimeout(() => parent.isConnected || chart.remove());
}

class Chart {
  constructor(parent, unpack) {
    this.parent = parent;
    this.unpack = unpack;
    this.box = document.createElement("div");
    this.box.className = "rambo-plot";
    this.box.tabIndex = 0;
    this.box.setAttribute("role", "figure");
    this.node = document.createElement("div");
    this.node.style.height = "100%";
    this.note = document.createElement("div");
    this.note.className = "rambo-plot-note";
    this.tile = document.createElement("div");
    this.tile.className = "rambo-plot-tile";
    this.tile.setAttribute("aria-hidden", "true"); // the tooltip says the same in words
    this.box.append(this.node, this.note, this.tile);
    parent.append(this.box);
    this.box.addEventListener("keydown", (event) => this.pressed(event));
    this.highlighted = "[]";
    this.heard = 0; // the newest revision that Streamlit's side knows of
    // What is half a screen away counts as seen: it is there before a person scrolls to it.
    const margins = { rootMargin: "50%", scrollMargin: "50%" };
    this.sight = new IntersectionObserver((found) => {
      this.seen = found.at(-1).isIntersecting;
      if (this.seen) this.wake?.();
    }, margins);
    this.sight.observe(this.box);
  }

  /** Wait for a moment in which drawing keeps nobody from reading or clicking: charts in sight come first. */
  async turn() {
    if (!this.seen) {
      await new Promise((resolve) => {
        this.wake = resolve;
        setTimeout(resolve, LEISURE);
      });
    }
    await new Promise((resolve) => (window.requestIdleCallback ?? setTimeout)(resolve, { timeout: 500 }));
  }

  /** Take the newest message; those that arrive while drawing are drawn once, in their last form. */
  async show(component) {
    if (component.data.select && component.data.revision !== this.heard) {
      // Streamlit's side of the browser sends its last word again with each rerun: it has to learn of the new one.
      component.setStateValue("selected", component.data.selected);
      component.setStateValue("obeyed", component.data.revision);
      this.heard = component.data.revision;
    }
    this.component = component;
    this.box.style.height = `${component.data.height}px`;
    this.box.setAttribute("aria-label", component.data.alt);
    this.dirty = true;
    if (this.busy) return;
    this.busy = true;
    // A chart that waits below the fold still brings the script: the next page then draws at once.
    (window.requestIdleCallback ?? setTimeout)(() => plotlyOnce(component.data.plotly, this.unpack));
    while (this.dirty) {
      await this.turn();
      if (this.removed) return;
      this.dirty = false;
      try {
        await this.draw(this.component.data);
        this.note.textContent = "";
      } catch (error) {
        console.error(error);
        this.note.textContent = `This chart could not be drawn (${error.message}). Reload the page.`;
      }
    }
    this.busy = false;
  }

  async draw(data) {
    const Plotly = (this.Plotly = await plotlyOnce(data.plotly, this.unpack));
    let changed = !this.drawn;
    if (data.digest !== this.digest) {
      this.figure = decode(JSON.parse(data.figure ?? (await this.unpack(data.url))));
      this.places = undefined;
      this.digest = data.digest;
      this.outlines = undefined; // a lasso drawn around other points would mislead
      changed = true;
    } else {
      this.outlines = this.node.layout?.selections;
    }
    const look = readTheme(this.parent);
    if (JSON.stringify(look) !== JSON.stringify(this.look)) changed = true;
    this.look = look;
    if (data.select && data.revision !== this.revision) {
      // The page itself set or cleared the selection (see state.py).
      if (this.revision !== undefined || data.selected) changed = true;
      this.revision = data.revision;
      this.selected = data.selected;
      this.outlines = undefined;
    }
    while (this.node._dragging) await pause(100); // never redraw under the person's hand
    if (this.removed) return;
    const rings = this.rings(data.highlight);
    const highlighted = JSON.stringify(data.highlight);
    this.drawing = true; // what plotly tells of its selection meanwhile is no wish of the person's
    try {
      if (changed) {
        await this.plot(Plotly, data, rings);
        if (!this.drawn && this.node.querySelector(".no-webgl")) {
          // This browser lacks WebGL, and to ask it before would cost each first chart a tenth of a second and more.
          window.__ramboSvg = true;
          Plotly.purge(this.node);
          await this.plot(Plotly, data, rings);
        }
        if (!this.drawn) this.listen();
        this.drawn = true;
      } else if (highlighted !== this.highlighted) {
        await Plotly.restyle(this.node, { x: [rings.x], y: [rings.y] }, [this.ringAt]);
      }
    } finally {
      this.drawing = false;
    }
    this.highlighted = highlighted;
    this.box.dataset.digest = data.digest; // tests wait for it
  }

  /** Draw all anew, or what has changed. */
  plot(Plotly, data, rings) {
    const { traces, layout } = this.build(data);
    traces.push(rings);
    this.ringAt = traces.length - 1;
    return Plotly[this.drawn ? "react" : "newPlot"](this.node, traces, layout, this.config(data));
  }

  /** Return fresh trace and layout objects; the arrays in them stay the same, so plotly sees no news. */
  build(data) {
    const names = new Map();
    const traces = this.figure.data.map((source) => {
      const trace = fill(source, this.look);
      if (trace.type === "scattergl" && window.__ramboSvg) trace.type = "scatter"; // slower, but there
      // A stable identity keeps legend toggles when a series appears before this one.
      const name = `${trace.name ?? ""}/${trace.type ?? ""}`;
      names.set(name, (names.get(name) ?? 0) + 1);
      trace.uid = asClass(trace.uid ?? `${name}/${names.get(name)}`);
      if (data.select && this.selected && trace.customdata) {
        const wanted = new Set(this.selected);
        trace.selectedpoints = [];
        trace.customdata.forEach((id, at) => wanted.has(id) && trace.selectedpoints.push(at));
      }
      return trace;
    });
    const layout = fill(this.figure.layout, this.look);
    delete layout.width;
    delete layout.height;
    layout.autosize = true;
    layout.template = { layout: template(this.look, layout, data.select) };
    layout.uirevision ??= "kept"; // zoom, pan, legend and tool survive new data
    layout.selectionrevision = this.selections = (this.selections ?? 0) + 1; // ours is the truth
    if (data.select) layout.selections = this.outlines ?? [];
    return { traces, layout };
  }

  /** Return the trace that rings highlighted ids; it is always there, so that restyle finds it. */
  rings(ids) {
    const x = [];
    const y = [];
    let axes = {};
    for (const id of ids) {
      const [trace, at] = this.place(id) ?? [];
      if (!trace) continue;
      x.push(trace.x[at]);
      y.push(trace.y[at]);
      axes = { xaxis: trace.xaxis, yaxis: trace.yaxis };
    }
    const line = { color: this.look.text, width: 2.5 };
    return {
      ...axes, x, y, type: "scatter", mode: "markers", uid: "rambo-highlight", name: "highlighted",
      hoverinfo: "skip", showlegend: false,
      marker: { symbol: "circle-open", size: 15, color: this.look.text, line },
      selected: { marker: { opacity: 1 } }, unselected: { marker: { opacity: 1 } },
    };
  }

  /** Return the trace and position of the last point with this id: chosen points lie on top. */
  place(id) {
    if (!this.places) {
      this.places = new Map();
      for (const trace of this.figure.data) {
        if (trace.customdata && trace.x && trace.y) {
          trace.customdata.forEach((item, at) => this.places.set(item, [trace, at]));
        }
      }
    }
    return this.places.get(id);
  }

  /** Return the same object each time: `react` starts over when the configuration changes. */
  config(data) {
    if (this.settings?.select === data.select) return this.settings.config;
    const save = {
      name: "save", title: "Download as PNG", icon: this.Plotly.Icons.camera,
      click: () => this.save(),
    };
    const drop = ["toImage", "autoScale2d"];
    if (!data.select) drop.push("lasso2d", "select2d");
    const config = {
      showSendToCloud: false, // plotly.js 4 offers by default to upload the chart to plotly.com
      displaylogo: false, responsive: false, doubleClick: "reset+autosize", scrollZoom: false,
      modeBarButtonsToRemove: drop, modeBarButtonsToAdd: [save], topojsonURL: "", plotlyServerURL: "",
    };
    this.settings = { select: data.select, config };
    return config;
  }

  /** Download what is on the screen, on an opaque ground: the chart itself is transparent. */
  save() {
    const layout = { ...this.node.layout, paper_bgcolor: this.look.background };
    const { width, height } = this.node._fullLayout;
    const options = { format: "png", scale: 2, width, height, filename: this.component.data.file };
    return this.Plotly.downloadImage({ data: this.node.data, layout }, options);
  }

  listen() {
    const tell = (ids) => this.drawing || this.send(ids);
    this.node.on("plotly_selected", (event) => tell(event ? idsOf(event.points) : null));
    this.node.on("plotly_deselect", () => tell(null));
    this.node.on("plotly_hover", (event) => this.peek(event));
    this.node.on("plotly_unhover", () => {
      this.peeked = undefined;
      this.tile.style.display = "none";
    });
    let asked;
    this.watch = new ResizeObserver(() => {
      cancelAnimationFrame(asked);
      asked = requestAnimationFrame(() => {
        const width = this.node.clientWidth; // 0 in a closed expander
        const full = this.node._fullLayout;
        if (full && width && (width !== full.width || this.node.clientHeight !== full.height)) {
          this.Plotly.Plots.resize(this.node);
        }
      });
    });
    this.watch.observe(this.box);
  }

  /** Show the picture of the point under the pointer. */
  async peek({ points, event }) {
    const sheet = this.component.data.thumbnails;
    const id = points[0].customdata;
    this.peeked = id;
    if (!sheet || !Number.isInteger(id)) return;
    const { address, slots } = await picturesOnce(sheet);
    const slot = slots.get(id);
    if (slot === undefined || this.peeked !== id) return;
    const scale = Math.max(1, Math.round(84 / Math.max(sheet.width, sheet.height)));
    const [w, h] = [sheet.width * scale, sheet.height * scale];
    const box = this.box.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    Object.assign(this.tile.style, {
      display: "block", width: `${w}px`, height: `${h}px`,
      left: `${x > box.width / 2 ? x - w - 18 : x + 18}px`,
      top: `${Math.max(0, Math.min(y - h - 12, box.height - h))}px`,
      backgroundImage: `url("${address}")`,
      backgroundSize: `${w * sheet.columns}px auto`,
      backgroundPosition: `${-(slot % sheet.columns) * w}px ${-Math.floor(slot / sheet.columns) * h}px`,
    });
    this.tile.dataset.id = id; // tests read it
  }

  send(ids) {
    if (!this.component.data.select || JSON.stringify(ids) === JSON.stringify(this.selected ?? null)) return;
    this.selected = ids;
    this.component.setStateValue("obeyed", this.revision); // see state.py: what comes without is of yesterday
    this.component.setStateValue("selected", ids);
  }

  /** Arrows move, + and - zoom, 0 resets, Escape clears the selection. */
  pressed(event) {
    if (!this.component.data.keys || event.target !== this.box || !this.drawn || event.ctrlKey || event.metaKey || event.altKey) return;
    const step = { ArrowLeft: [-0.1, 0], ArrowRight: [0.1, 0], ArrowUp: [0, 0.1], ArrowDown: [0, -0.1] }[event.key];
    const zoom = { "+": 0.8, "=": 0.8, "-": 1.25 }[event.key];
    if (event.key === "0") {
      this.Plotly.relayout(this.node, { "xaxis.autorange": true, "yaxis.autorange": true });
    } else if (event.key === "Escape" && this.component.data.select && this.selected) {
      this.Plotly.relayout(this.node, { selections: [] });
      this.Plotly.restyle(this.node, { selectedpoints: [null] });
      this.send(null);
    } else if (step || zoom) {
      const change = {};
      for (const [name, part] of [["xaxis", step?.[0]], ["yaxis", step?.[1]]]) {
        const axis = this.node._fullLayout[name];
        if (!axis || axis.fixedrange || !(zoom || part)) continue;
        const [low, high] = axis.range.map(axis.r2l);
        const middle = (low + high) / 2 + (part ?? 0) * (high - low);
        const half = ((high - low) / 2) * (zoom ?? 1);
        change[`${name}.range`] = [axis.l2r(middle - half), axis.l2r(middle + half)];
      }
      this.Plotly.relayout(this.node, change);
    } else {
      return;
    }
    event.preventDefault();
  }

  remove() {
    this.removed = true;
    this.sight.disconnect();
    this.watch?.disconnect();
    if (this.drawn) this.Plotly.purge(this.node); // gives its WebGL contexts back
    this.box.remove();
    charts.delete(this.parent);
  }
}

/** Load plotly.js once per page, whatever the number of charts. */
function plotlyOnce(url, unpack) {
  window.__ramboPlotly ??= unpack(url).then(
    (text) =>
      new Promise((resolve, reject) => {
        const script = document.createElement("script"); // a plain script: the file is no module
        script.src = URL.createObjectURL(new Blob([text], { type: "text/javascript" }));
        script.onload = () => resolve(window.Plotly);
        script.onerror = () => reject(new Error("plotly.js did not start"));
        document.head.append(script);
      }),
  );
  window.__ramboPlotly.catch(() => delete window.__ramboPlotly);
  return window.__ramboPlotly;
}

/** Fetch a sheet of thumbnails once per page: a blob address, and the place of each id on it. */
function picturesOnce({ sheet, ids }) {
  const all = (window.__ramboThumbnails ??= new Map());
  if (!all.has(sheet)) {
    const ready = Promise.all([fetch(sheet), fetch(ids)]).then(async ([picture, numbers]) => {
      if (!picture.ok || !numbers.ok) throw new Error("the thumbnails could not be loaded");
      const list = new Int32Array(await numbers.arrayBuffer());
      const address = URL.createObjectURL(await picture.blob());
      return { address, slots: new Map(Array.from(list, (id, slot) => [id, slot])) };
    });
    ready.catch(() => all.delete(sheet));
    all.set(sheet, ready);
  }
  return all.get(sheet);
}

/** Return the sorted, distinct integer ids of the selected points. */
function idsOf(points) {
  const ids = new Set();
  for (const point of points) if (Number.isInteger(point.customdata)) ids.add(point.customdata);
  return [...ids].sort((a, b) => a - b);
}

/** Turn `{dtype, bdata, shape}` into typed arrays, once, so that plotly need not at every redraw. */
function decode(value) {
  if (Array.isArray(value)) return value.map(decode);
  if (value === null || typeof value !== "object") return value;
  if (typeof value.bdata === "string") {
    const bytes = Uint8Array.from(atob(value.bdata), (letter) => letter.charCodeAt(0));
    const flat = new TYPES[value.dtype](bytes.buffer);
    if (!value.shape) return flat;
    const [rows, columns] = value.shape.split(",").map(Number);
    return Array.from({ length: rows }, (_, row) => flat.subarray(row * columns, (row + 1) * columns));
  }
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, decode(item)]));
}

/** Copy the objects (plotly writes into them), share the long arrays, put colours for `var(--st-...)`. */
function fill(value, look) {
  if (typeof value === "string") {
    const name = /^var\((--st-[\w-]+)\)$/.exec(value)?.[1];
    return name ? look.style.getPropertyValue(name).trim() : value;
  }
  if (value === null || typeof value !== "object" || ArrayBuffer.isView(value)) return value;
  if (Array.isArray(value)) return value.length > 256 ? value : value.map((item) => fill(item, look));
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, fill(item, look)]));
}

/** Spell `text` in letters and digits: plotly makes a CSS class of a trace's uid. */
function asClass(text) {
  return Array.from(text, (letter) => letter.codePointAt(0).toString(36)).join("_");
}

function readTheme(element) {
  const style = getComputedStyle(element);
  const read = (name) => style.getPropertyValue(`--st-${name}`).trim();
  const look = {
    text: read("text-color"), background: read("background-color"), font: read("font"),
    panel: read("secondary-background-color"), grid: read("border-color-light") || read("border-color"),
    line: read("border-color"), primary: read("primary-color"),
    colors: read("chart-categorical-colors").split(/,(?![^(]*\))/).filter(Boolean),
  };
  Object.defineProperty(look, "style", { value: style }); // not part of the comparison
  return look;
}

/** Return plotly's defaults for this theme; whatever the figure says itself is stronger. */
function template(look, layout, select) {
  const axis = {
    automargin: true, gridcolor: look.grid, linecolor: look.line, tickcolor: look.line,
    zerolinecolor: look.line, title: { standoff: 8 }, separatethousands: true,
  };
  return {
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    font: { color: look.text, family: look.font, size: 13 },
    ...(look.colors.length ? { colorway: look.colors } : {}),
    margin: { l: 8, r: 8, t: layout.title ? 40 : 8, b: 8 },
    xaxis: axis, yaxis: axis, title: { x: 0, xref: "paper", y: 1, yanchor: "top", pad: { t: 8 }, font: { size: 15 } },
    // Above the plot, below the tools: beside it, a legend takes a third of a narrow column.
    legend: { bgcolor: "rgba(0,0,0,0)", orientation: "h", x: 0, xanchor: "left", y: 1, yanchor: "bottom" },
    hoverlabel: { bgcolor: look.panel, bordercolor: look.line, font: { color: look.text, family: look.font } },
    hovermode: "closest", dragmode: select ? "lasso" : "zoom",
    modebar: { bgcolor: "rgba(0,0,0,0)", color: look.text, activecolor: look.primary },
    newselection: { line: { color: look.text, width: 2, dash: "dot" } },
    activeselection: { fillcolor: look.primary, opacity: 0.08 },
    annotationdefaults: { font: { color: look.text } },
    shapedefaults: { line: { color: look.text } },
  };
}

function pause(milliseconds) {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
