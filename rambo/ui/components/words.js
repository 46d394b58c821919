// Symbols explain themselves wherever they stand on a page: in labels, metrics, captions and axes. Nothing of what
// Streamlit draws is touched: symbols are ranges of its text, underlined by a highlight, and one tip floats above them.

const REST = 70; // milliseconds that a pointer rests before a tip comes
const CALM = 300; // milliseconds without news before the page is read again
const NARROW = 768; // pixels below which Streamlit lays the menu over the page
const PLAIN = "script, style, code, pre, textarea, .rambo-term, .rambo-tip, .katex, [data-testid=stException]";

let place; // the page that was shown last

export default function (component, unpack) {
  arrive();
  window.__ramboWords ??= unpack(component.data.terms).then((text) => new Words(JSON.parse(text)));
  window.removeEventListener("keydown", window.__ramboLeave, true);
  window.addEventListener("keydown", (window.__ramboLeave = leave), true);
}

/** Begin a page at its top and in sight: Streamlit keeps how far the page before was scrolled, and its menu open. */
function arrive() {
  if (place && place !== location.pathname) {
    document.querySelector("[data-testid=stMain]")?.scrollTo(0, 0);
    if (innerWidth < NARROW) document.querySelector("[data-testid=stSidebarCollapseButton] button")?.click();
  }
  place = location.pathname;
}

/** Let Escape leave a text in a drawer, which sends it, and only the next one close the drawer: no word is lost. */
function leave(event) {
  const field = event.key === "Escape" && event.target.closest?.("[role=dialog] textarea");
  if (!field) return;
  event.stopImmediatePropagation();
  event.preventDefault();
  field.blur();
  field.closest("[role=dialog]").querySelector("button")?.focus({ preventScroll: true });
}

class Words {
  /** Take `{symbols: {symbol: {name, meaning, paper, formula}}, labels: {"Learning rate (η)": {...}}}`. */
  constructor({ symbols, labels }) {
    this.terms = { ...symbols, ...labels };
    this.labels = labels;
    // A lone lambda of the form is that of some rival: every one has its own.
    const known = Object.entries(symbols).filter(([symbol]) => symbol !== "lambda");
    this.formulas = new Map(known.map(([symbol, term]) => [term.formula, symbol]));
    [this.pattern, this.long] = patternsOf(Object.keys(symbols), Object.keys(labels));
    this.places = [];
    if (window.Highlight && CSS.highlights) CSS.highlights.set("rambo-symbol", (this.marks = new Highlight()));
    this.tip = document.createElement("div");
    this.tip.className = "rambo-tip rambo-tip-free";
    this.tip.setAttribute("role", "tooltip");
    document.body.append(this.tip);
    new MutationObserver((news) => {
      if (news.some((one) => !this.tip.contains(one.target))) this.later();
    }).observe(document.body, { childList: true, subtree: true, characterData: true });
    document.addEventListener("pointermove", (event) => this.moved(event), { passive: true });
    document.addEventListener("pointerup", (event) => this.show(this.at(event.clientX, event.clientY)));
    document.addEventListener("scroll", () => this.follow(), { capture: true, passive: true });
    document.addEventListener("keydown", (event) => event.key === "Escape" && this.show());
    this.read();
  }

  later() {
    clearTimeout(this.asked);
    this.asked = setTimeout(() => (window.requestIdleCallback ?? setTimeout)(() => this.read()), CALM);
  }

  /** Find every symbol on the page. */
  read() {
    this.places = [];
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
      if (node.length > 5000 || !node.parentElement || node.parentElement.closest(PLAIN)) continue;
      const drawn = node.parentElement instanceof SVGElement; // in a chart a letter may be anything
      for (const { term, start, end } of symbolsIn(node.data, drawn ? this.long : this.pattern, this.labels)) {
        this.put(term, (range) => {
          range.setStart(node, start);
          range.setEnd(node, end);
        });
      }
    }
    for (const formula of document.querySelectorAll(".katex")) {
      const symbol = this.formulas.get(formula.querySelector("annotation")?.textContent.replaceAll("|", ""));
      if (symbol) this.put(symbol, (range) => range.selectNodeContents(formula.querySelector(".katex-html")));
    }
    this.marks?.clear();
    for (const place of this.places) this.marks?.add(place.range);
    document.body.dataset.ramboSymbols = this.places.length; // tests wait for it
  }

  put(symbol, set) {
    const range = new Range();
    set(range);
    this.places.push({ symbol, range });
  }

  moved(event) {
    if (event.pointerType === "touch") return; // a finger shows a tip when it leaves
    clearTimeout(this.resting);
    this.resting = setTimeout(() => this.show(this.at(event.clientX, event.clientY)), REST);
  }

  /** Return the place under a point, if any; what lies below a dialog is not seen. */
  at(x, y) {
    const over = document.elementFromPoint(x, y)?.closest("[role=dialog]") ?? null;
    for (const place of this.places) {
      for (const box of place.range.getClientRects()) {
        if (x < box.left - 1 || x > box.right + 1 || y < box.top - 1 || y > box.bottom + 1) continue;
        if ((place.range.startContainer.parentElement?.closest("[role=dialog]") ?? null) === over) return { ...place, box };
      }
    }
  }

  /** Keep the tip at its symbol while the page moves below it: a tap on a label may scroll to its field. */
  follow() {
    const box = this.place?.range.getClientRects()[0];
    this.show(box && box.top > 0 && box.bottom < innerHeight ? { ...this.place, box } : undefined);
  }

  /** Show the words of a place beside it, or none. */
  show(place) {
    this.place = place;
    this.tip.style.display = place ? "block" : "none";
    if (!place) return;
    const { name, meaning, paper } = this.terms[place.symbol];
    const parts = [["b", name], ["span", `${meaning} `], ["i", paper ?? ""]].map(([tag, text]) => {
      const part = document.createElement(tag);
      part.textContent = text;
      return part;
    });
    this.tip.replaceChildren(...parts);
    const { offsetWidth: width, offsetHeight: height } = this.tip;
    const below = place.box.bottom + 8;
    this.tip.style.left = `${Math.max(8, Math.min(place.box.left, innerWidth - width - 8))}px`;
    this.tip.style.top = `${below + height < innerHeight ? below : Math.max(8, place.box.top - height - 8)}px`;
  }
}

/** Return the symbols in a text: of a label of the form only the letter in its brackets, which is that field's own. */
function symbolsIn(text, pattern, labels) {
  return Array.from(text.matchAll(pattern), ({ 0: term, index }) => {
    const end = index + term.length;
    if (!Object.hasOwn(labels, term)) return { term, start: index, end };
    return { term, start: index + term.lastIndexOf("(") + 1, end: end - 1 };
  });
}

/** Return what finds symbols in sentences, and in charts. Of letters f, k and M are always ours; others only in context. */
function patternsOf(symbols, labels) {
  const long = symbols.filter((symbol) => symbol.includes("_") || ["lambda", "alpha", "OT", "M"].includes(symbol));
  long.sort((a, b) => b.length - a.length);
  const after = "(?= = | images?\\b| labels?\\b| chosen\\b| bought\\b| smallest\\b| pairs?\\b| / |\\))";
  const before = "(?<=\\bthe |\\bfirst |\\bof |= |/ |\\d |\\()";
  const mine = symbols.filter((symbol) => ["f", "k"].includes(symbol)).join("");
  const others = symbols.filter((symbol) => symbol.length === 1 && !["f", "k", "u", "M"].includes(symbol)).join("");
  const unmistakable = `(?<![\\w{\\\\])(?:${long.join("|")})(?!\\w)`;
  const whole = labels.map((label) => label.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  const parts = [
    ...whole,
    unmistakable,
    `(?<![\\w'’./-])[${mine}](?![\\w/-]|\\.\\w)`,
    `(?<![\\w'’./-])[${others}](?!\\w)${after}`,
    `${before}[${others}](?![\\w'’-])`,
  ];
  return [new RegExp(parts.join("|"), "g"), new RegExp(unmistakable, "g")];
}
