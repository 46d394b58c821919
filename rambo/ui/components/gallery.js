// Thumbnails from one sprite sheet. Nothing that comes from data is parsed as HTML: `textContent`
// and properties only. Streamlit calls the default function again with every new payload.

const galleries = new WeakMap(); // shadow root -> gallery
const sheets = (window.__ramboSheets ??= new Map()); // digest -> promise of a blob address
const SHEETS_KEPT = 12;
const BORDERS = ["solid", "dashed", "dotted", "double"]; // beside the colour, for those who see none

export default function (component) {
  const root = component.parentElement;
  if (!galleries.has(root)) galleries.set(root, new Gallery(root));
  const gallery = galleries.get(root);
  gallery.show(component);
  // Streamlit also calls this for a message that a newer one overtook: only a gone element counts.
  return () => setTimeout(() => root.host.isConnected || gallery.remove());
}

class Gallery {
  constructor(root) {
    this.root = root;
    this.cells = new Map(); // id -> {node, text}
    this.selected = [];
    this.box = element("div", "box");
    this.style = document.createElement("style");
    this.legend = element("div", "legend");
    this.grid = element("div", "grid");
    this.grid.setAttribute("role", "group");
    this.empty = element("p", "empty");
    this.tip = element("div", "tip");
    this.tip.popover = "manual"; // the top layer: no scrolling parent cuts it off
    this.tip.setAttribute("role", "tooltip");
    this.box.append(this.style, this.legend, this.grid, this.empty, this.tip);
    root.append(this.box);
    this.grid.addEventListener("click", (event) => this.clicked(event));
    this.grid.addEventListener("keydown", (event) => this.pressed(event));
    for (const name of ["pointerover", "focusin"]) this.grid.addEventListener(name, (e) => this.explain(e));
    for (const name of ["pointerout", "focusout"]) this.grid.addEventListener(name, () => this.tip.hidePopover());
    // A button elsewhere must not overtake clicks that still wait to be sent.
    this.flush = (event) => event.composedPath().includes(this.box) || this.send();
    window.addEventListener("pointerdown", this.flush, true);
    window.addEventListener("keydown", this.flush, true);
  }

  show(component) {
    const data = component.data;
    this.component = component;
    this.data = data;
    this.cut(data);
    if (data.kind === "rows") return this.showRows(data);
    if (data.revision !== this.revision) {
      // The page itself set the selection (see state.py); otherwise ours is the newer one.
      if (this.revision !== undefined || data.revision > 0) {
        // Streamlit's side of the browser sends its last word again with each rerun: it has to learn of the new one.
        component.setStateValue("selected", data.selected);
        component.setStateValue("obeyed", data.revision);
      }
      this.revision = data.revision;
      this.selected = [...data.selected];
      this.sent = JSON.stringify(this.selected);
      clearTimeout(this.timer);
    }
    this.grid.setAttribute("aria-label", data.label);
    this.grid.style.maxHeight = data.maxHeight
      ? `var(--rambo-gallery-height, ${data.maxHeight}px)` // a page may know how much room its window has
      : "";
    this.grid.style.overflowY = data.maxHeight ? "auto" : "";
    if (data.maxHeight && data.readonly) this.grid.tabIndex = 0; // no button inside that a keyboard could reach
    else this.grid.removeAttribute("tabindex");
    this.showLegend(data.groupNames);
    this.showCells(data);
    this.mark();
  }

  /** Say how the sheet is cut: one rule for all cells. A data address per cell would cost seconds. */
  async cut(data) {
    const [width, height] = data.tile;
    const scale = data.size / Math.max(width, height);
    const [w, h] = [Math.max(1, Math.round(width * scale)), Math.max(1, Math.round(height * scale))];
    this.step = [w, h];
    const shape = `width:${w}px;height:${h}px;background-size:${w * data.columns}px ${h * data.sheetRows}px;` +
      `image-rendering:${scale >= 1 ? "pixelated" : "auto"};`;
    if (this.shape === shape && this.digest === data.digest) return;
    if (this.digest !== data.digest) this.picture = "";
    this.shape = shape;
    this.digest = data.digest;
    this.style.textContent = `.t{${shape}${this.picture}}`;
    try {
      const address = await sheetOnce(data.digest, data.url);
      if (this.digest !== data.digest) return; // a newer sheet came meanwhile
      this.picture = `background-image:url("${address}");`;
      this.style.textContent = `.t{${this.shape}${this.picture}}`;
      this.box.dataset.digest = data.digest; // tests wait for it
    } catch (error) {
      console.error(error);
      this.digest = undefined; // the next message tries again
      this.empty.textContent = "The images could not be loaded. Reload the page.";
    }
  }

  showCells(data) {
    const { ids, slots, badges = [], captions = [], groups = [] } = data.cells;
    const inside = this.root.activeElement; // moving a node takes its focus
    // Read once: asked again after each cell, the browser would work out all styles anew each time.
    const colors = groups.length ? colorsOf(this.root.host) : [];
    const kept = new Map();
    const nodes = ids.map((id, at) => {
      const about = { id, slot: slots[at], badge: badges[at], caption: captions[at], group: groups[at] };
      const text = JSON.stringify([about.slot, about.badge, data.readonly, data.size, data.columns]);
      let cell = this.cells.get(id);
      if (cell?.text !== text) cell = { node: this.cell(about, data), text };
      const words = JSON.stringify([about.caption, about.group, data.groupNames, colors]);
      if (cell.words !== words) this.describe(cell.node, about, data, colors); // other words, the same picture
      cell.words = words;
      kept.set(id, cell);
      return cell.node;
    });
    this.cells = kept;
    const now = this.grid.children;
    if (now.length !== nodes.length || nodes.some((node, at) => node !== now[at])) {
      this.grid.replaceChildren(...nodes);
      const again = inside?.dataset?.id && kept.get(Number(inside.dataset.id));
      if (again) again.node.focus({ preventScroll: true });
    }
    this.empty.textContent = ids.length ? "" : data.empty;
    this.grid.style.display = ids.length ? "" : "none";
    this.focusable(this.root.activeElement?.dataset?.id ? this.root.activeElement : nodes[0]);
  }

  /** Return one thumbnail; it carries its id, so no order can mix them up. */
  cell({ id, slot, badge }, data) {
    const node = element(data.readonly ? "div" : "button", "cell");
    node.dataset.id = id;
    node.append(this.tile(slot, data));
    if (badge) node.append(element("span", "badge", badge));
    if (data.readonly) {
      node.setAttribute("role", "img");
    } else {
      node.type = "button";
      node.tabIndex = -1;
      const info = element("span", "info", "i");
      info.setAttribute("aria-hidden", "true"); // Enter does the same
      node.append(info);
    }
    return node;
  }

  /** Give a thumbnail its words and the border of its group. */
  describe(node, { id, badge, caption, group }, data, colors) {
    const name = group === undefined || group === null ? "" : data.groupNames[group];
    node.tip = [caption || `image ${id}`, name].filter(Boolean).join("\n");
    node.setAttribute("aria-label", [caption || `image ${id}`, badge, name].filter(Boolean).join(", "));
    node.style.borderColor = name ? colors[group % colors.length] : "";
    node.style.borderStyle = name ? BORDERS[group % BORDERS.length] : "";
  }

  tile(slot, data) {
    const tile = element("span", "t");
    const [w, h] = this.step;
    tile.style.backgroundPosition = `${-(slot % data.columns) * w}px ${-Math.floor(slot / data.columns) * h}px`;
    return tile;
  }

  showLegend(names) {
    const colors = names.length ? colorsOf(this.root.host) : [];
    const key = JSON.stringify([names, colors]);
    if (key === this.names) return;
    this.names = key;
    this.legend.replaceChildren(
      ...names.map((name, group) => {
        const entry = element("span", "", name);
        entry.style.borderColor = colors[group % colors.length];
        entry.style.borderStyle = BORDERS[group % BORDERS.length];
        return entry;
      }),
    );
  }

  showRows(data) {
    this.empty.textContent = data.rows.length ? "" : data.empty;
    this.grid.style.display = "block";
    this.grid.replaceChildren(
      ...data.rows.map((row) => {
        const line = element("div", row.mark ? "row marked" : "row");
        line.setAttribute("role", "group");
        line.setAttribute("aria-label", [row.label, row.mark].filter(Boolean).join(", "));
        const name = element("div", "name", row.label);
        if (row.mark) name.append(element("b", "", `✓ ${row.mark}`));
        const pictures = element("div", "grid");
        const cells = row.ids.map((id, at) => {
          const about = { id, slot: row.slots[at], caption: row.captions?.[at] };
          const cell = this.cell(about, { ...data, readonly: true });
          this.describe(cell, about, data, []);
          return cell;
        });
        // Where a row is too long it breaks after a ten, not before the last two.
        for (let at = 0; at < cells.length; at += 10) {
          const ten = element("div", "ten");
          ten.append(...cells.slice(at, at + 10));
          pictures.append(ten);
        }
        line.append(...(row.label || row.mark ? [name] : []), pictures);
        return line;
      }),
    );
  }

  /** Show which cells are selected. */
  mark() {
    if (this.data.readonly) return;
    const chosen = new Set(this.selected);
    for (const [id, { node }] of this.cells) {
      node.setAttribute("aria-pressed", chosen.has(id));
      if (this.data.disabled) node.setAttribute("aria-disabled", "true");
      else node.removeAttribute("aria-disabled");
    }
  }

  /** Only one cell is in the tab order; arrows reach the others. */
  focusable(node) {
    if (!node || this.data.readonly) return;
    if (this.stop) this.stop.tabIndex = -1;
    node.tabIndex = 0;
    this.stop = node;
  }

  clicked(event) {
    const node = event.target.closest(".cell");
    if (!node || this.data.disabled || this.data.readonly || this.data.kind === "rows") return;
    this.focusable(node);
    const id = Number(node.dataset.id);
    if (event.target.closest(".info")) return this.open(id);
    if (event.detail === 2 && this.before?.id === id) {
      this.selected = this.before.selected; // the first click of a double click was no choice
      this.changed();
      return this.open(id);
    }
    this.before = { id, selected: this.selected };
    if (this.selected.includes(id)) this.selected = this.selected.filter((item) => item !== id);
    else this.selected = this.data.multi ? [...this.selected, id] : [id];
    this.changed();
  }

  pressed(event) {
    const node = event.target.closest(".cell");
    if (event.key === "Escape") this.tip.hidePopover();
    if (!node || this.data.readonly || this.data.kind === "rows") return;
    if (event.key === "Enter") {
      event.preventDefault(); // or the browser makes a click of it; Space stays a click
      if (!this.data.disabled) this.open(Number(node.dataset.id));
      return;
    }
    const nodes = [...this.grid.children];
    const top = nodes[0].offsetTop;
    const across = nodes.findIndex((other) => other.offsetTop > top);
    const columns = across < 0 ? nodes.length : across;
    const at = nodes.indexOf(node);
    const to = {
      ArrowRight: at + 1, ArrowLeft: at - 1, ArrowDown: at + columns, ArrowUp: at - columns,
      Home: 0, End: nodes.length - 1,
    }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    if (!nodes[to]) return;
    this.focusable(nodes[to]);
    nodes[to].focus();
  }

  /** Draw at once, tell Python when the hand rests: ten quick clicks are one rerun. */
  changed() {
    this.mark();
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.send(), 120);
  }

  send() {
    clearTimeout(this.timer);
    const text = JSON.stringify(this.selected);
    if (this.data?.kind !== "grid" || text === this.sent) return;
    this.sent = text;
    this.component.setStateValue("obeyed", this.revision); // see state.py: what comes without is of yesterday
    this.component.setStateValue("selected", this.selected);
  }

  open(id) {
    this.send();
    this.component.setTriggerValue("opened", id);
  }

  explain(event) {
    const node = event.target.closest(".cell");
    if (!node) return;
    this.tip.textContent = node.tip;
    this.tip.showPopover();
    const cell = node.getBoundingClientRect();
    const tip = this.tip.getBoundingClientRect();
    const below = cell.bottom + tip.height + 6 < innerHeight;
    this.tip.style.top = `${below ? cell.bottom + 4 : cell.top - tip.height - 4}px`;
    this.tip.style.left = `${Math.max(4, Math.min(cell.left, innerWidth - tip.width - 4))}px`;
  }

  remove() {
    clearTimeout(this.timer);
    window.removeEventListener("pointerdown", this.flush, true);
    window.removeEventListener("keydown", this.flush, true);
    this.box.remove();
    galleries.delete(this.root);
  }
}

/** Return the blob address of a sheet, fetched once per page and shared by all galleries. */
function sheetOnce(digest, url) {
  if (!sheets.has(digest)) {
    const ready = fetch(url, { cache: "force-cache" })
      .then((response) => (response.ok ? response : fetch(url, { cache: "reload" })))
      .then((response) => {
        if (!response.ok) throw new Error(`${url}: ${response.status}`);
        return response.blob();
      })
      .then((blob) => URL.createObjectURL(blob));
    ready.catch(() => sheets.delete(digest));
    sheets.set(digest, ready);
    // The oldest go; pages show a few sheets at a time.
    for (const [old, address] of [...sheets].slice(0, -SHEETS_KEPT)) {
      sheets.delete(old);
      address.then(URL.revokeObjectURL, () => {});
    }
  }
  return sheets.get(digest);
}

/** Return the colours of groups; they change with the theme. */
function colorsOf(host) {
  const colors = getComputedStyle(host).getPropertyValue("--st-chart-categorical-colors");
  const list = colors.split(/,(?![^(]*\))/).map((text) => text.trim()).filter(Boolean);
  return list.length ? list : ["currentColor"];
}

function element(tag, name, text) {
  const node = document.createElement(tag);
  if (name) node.className = name;
  if (text !== undefined) node.textContent = text;
  return node;
}
