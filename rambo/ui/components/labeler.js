// One picture, one key press, the next picture. Names from data are text nodes, never HTML. Streamlit calls the
// default function again with every new payload.

const labelers = new WeakMap(); // shadow root -> labeler
const KEYS = "123456789abdefghijklmopqtvwy"; // not c and r, which are Streamlit's, nor the ones below
const OTHERS = { s: -2, n: -3, x: -4 };
const WORDS = { "-2": "skipped", "-3": "not sure", "-4": "none of these" };
const UNANSWERED = -1;
const KEPT = 200; // pictures in memory
const AHEAD = 24; // pictures that shall be here before they are needed
const AGAIN = 4000; // ms after which an answer that was not confirmed is sent again

export default function (component) {
  const root = component.parentElement;
  if (!labelers.has(root)) labelers.set(root, new Labeler(root));
  const labeler = labelers.get(root);
  labeler.receive(component);
  return () => setTimeout(() => root.host.isConnected || labeler.remove());
}

class Labeler {
  constructor(root) {
    this.root = root;
    this.pending = new Map(); // token -> answer that is not on disk yet
    this.images = new Map(); // id -> decoded picture, or a promise of it
    this.history = [];
    this.at = -1;
    this.box = element("div", "box");
    this.bar = element("div", "bar");
    this.fill = element("div", "fill");
    this.bar.append(this.fill);
    this.state = element("p", "state");
    this.state.setAttribute("role", "status");
    this.stage = element("div", "stage");
    this.caption = element("p", "caption");
    this.told = element("p", "told");
    this.told.setAttribute("role", "status");
    this.choices = element("div", "choices");
    this.others = element("div", "choices");
    for (const [key, word, act] of [
      ["s", "Skip", () => this.answer(-2)],
      ["n", "Not sure", () => this.answer(-3)],
      ["x", "None of these", () => this.answer(-4)],
      ["u", "Undo", () => this.undo()],
      ["z", "Zoom", () => this.zoom()],
      ["←", "Back", () => this.step(-1)],
      ["→", "Forward", () => this.step(1)],
    ]) this.others.append(button(key, word, act));
    this.box.append(this.bar, this.state, this.stage, this.caption, this.choices, this.others, this.told);
    root.append(this.box);
    this.typed = (event) => this.pressed(event);
    window.addEventListener("keydown", this.typed, true); // before Streamlit's own shortcuts
    this.timer = setInterval(() => this.pending.size && this.send(), AGAIN);
  }

  receive(component) {
    const first = !this.data;
    this.component = component;
    this.data = component.data;
    this.place = new Map(this.data.queue.map((id, at) => [id, at]));
    if (first) this.restore();
    for (const token of this.data.saved) this.pending.delete(token);
    this.keep();
    for (const [id, url] of this.data.pictures) this.fetch(id, url);
    const names = JSON.stringify(this.data.classes);
    if (this.names !== names) {
      this.names = names;
      this.choices.replaceChildren(
        ...this.data.classes.map((name, code) => button(KEYS[code] ?? "", name, () => this.answer(code))),
      );
    }
    this.underway = false;
    if (this.pending.size && (first || this.later)) this.send();
    this.later = false;
    if (this.at < 0 || this.at >= this.data.queue.length) this.at = this.next(-1);
    if (first || !this.drawn || this.waits) this.draw();
    else this.tell();
  }

  /** Return what is known of an image: the newest answer of this tab, else what is on disk. */
  code(at) {
    const id = this.data.queue[at];
    for (const answer of [...this.pending.values()].reverse()) if (answer.image === id) return answer.code;
    return this.data.codes[at];
  }

  /** Return the place of the next image without an answer, or that of the last image. */
  next(from) {
    const count = this.data.queue.length;
    for (let step = 1; step <= count; step++) {
      const at = (from + step + count) % count;
      if (this.code(at) === UNANSWERED) return at;
    }
    return count - 1;
  }

  pressed(event) {
    const target = event.composedPath()[0];
    if (event.ctrlKey || event.metaKey || event.altKey || !this.data || !this.box.isConnected) return;
    if (target.closest?.("input, textarea, select, [contenteditable=true], [role=dialog], [role=combobox]")) return;
    if (!this.box.offsetParent) return; // another tab of the page is open
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const code = KEYS.indexOf(key);
    const act =
      key in OTHERS ? () => this.answer(OTHERS[key])
      : key === "u" || key === "Backspace" ? () => this.undo()
      : key === "z" ? () => this.zoom()
      : key === "ArrowLeft" ? () => this.step(-1)
      : key === "ArrowRight" ? () => this.step(1)
      : key.length === 1 && code >= 0 && code < this.data.classes.length ? () => this.answer(code)
      : undefined;
    if (!act) return;
    event.preventDefault();
    event.stopPropagation();
    this.began = performance.now();
    act();
  }

  answer(code) {
    if (this.at < 0 || !this.data.queue.length) return;
    const at = this.at;
    this.history.push(at);
    this.give(at, code);
    this.last = at;
    this.at = this.next(at);
    this.draw();
  }

  undo() {
    const at = this.history.pop();
    if (at === undefined) return this.say("Nothing to undo in this sitting; use Back to change an earlier answer.");
    this.give(at, UNANSWERED);
    this.last = undefined;
    this.at = at;
    this.draw();
  }

  step(by) {
    const to = this.at + by;
    if (to < 0 || to >= this.data.queue.length) return;
    this.at = to;
    this.last = undefined;
    this.draw();
  }

  zoom() {
    this.box.classList.toggle("zoomed");
  }

  give(at, code) {
    const token = crypto.randomUUID?.() ?? `${Date.now()}-${Math.random().toString(36).slice(2)}`;
    const label = this.data.classes[code] ?? "";
    this.pending.set(token, { token, image: this.data.queue[at], code, label, time: Date.now() / 1000 });
    this.keep();
    if (this.underway) this.later = true;
    else this.send();
  }

  send() {
    this.underway = true;
    this.component.setTriggerValue("answers", [...this.pending.values()]);
  }

  /** Keep what is not on disk over a reload. */
  keep() {
    try {
      localStorage.setItem(this.data.storage, JSON.stringify([...this.pending.values()]));
    } catch {
      // a browser that keeps nothing: the server has it a moment later
    }
  }

  restore() {
    try {
      for (const answer of JSON.parse(localStorage.getItem(this.data.storage) ?? "[]"))
        if (this.place.has(answer.image)) this.pending.set(answer.token, answer);
    } catch {
      // what is not readable is nothing of ours
    }
  }

  fetch(id, url) {
    if (this.images.has(id)) return;
    const ready = fetch(url, { cache: "force-cache" })
      .then((response) => {
        if (!response.ok) throw new Error(`${url}: ${response.status}`);
        return response.blob();
      })
      .then(async (blob) => {
        const image = new Image();
        image.src = URL.createObjectURL(blob);
        await image.decode();
        this.images.set(id, image);
        if (this.waits === id) this.draw();
      });
    ready.catch(() => this.images.delete(id)); // it is asked for again
    this.images.set(id, ready);
    for (const [old, image] of [...this.images].slice(0, -KEPT)) {
      if (image instanceof Image) URL.revokeObjectURL(image.src);
      this.images.delete(old);
    }
  }

  draw() {
    const { queue, names } = this.data;
    const id = queue[this.at];
    const image = this.images.get(id);
    this.drawn = true;
    if (image instanceof Image) {
      this.waits = undefined;
      image.alt = names[this.at] ?? `image ${id}`;
      this.stage.replaceChildren(image);
      this.box.dataset.shown = id;
      if (this.began !== undefined) {
        const began = this.began;
        this.began = undefined;
        delete this.box.dataset.ms; // of the picture before
        requestAnimationFrame(() => (this.box.dataset.ms = (performance.now() - began).toFixed(1)));
      }
    } else {
      this.waits = id;
      this.stage.replaceChildren(element("p", "wait", queue.length ? "The picture is on its way." : ""));
    }
    this.caption.textContent = names[this.at] ?? "";
    this.tell();
    this.ask();
  }

  /** Ask for pictures that will be needed and are not here. */
  ask() {
    const { queue } = this.data;
    const missing = [];
    let at = this.at;
    for (let n = 0; n < AHEAD; n++) {
      if (at >= 0 && !this.images.has(queue[at])) missing.push(queue[at]);
      const following = this.next(at);
      if (following === at) break;
      at = following;
    }
    const text = missing.join();
    const urgent = missing.length && (this.waits !== undefined || missing.length > AHEAD / 2);
    if (!urgent || this.underway || this.asked === text) return;
    this.asked = text;
    this.component.setTriggerValue("wanted", missing);
  }

  tell() {
    const { queue, classes, guesses, seconds } = this.data;
    const codes = queue.map((_, at) => this.data.codes[at]);
    for (const answer of this.pending.values()) codes[this.place.get(answer.image)] = answer.code;
    const done = codes.filter((code) => code !== UNANSWERED).length;
    const left = queue.length - done;
    let text = `${done} of ${queue.length} answered`;
    if (seconds) {
      text += ` · ${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s each`;
      if (left) text += ` · about ${duration(seconds * left)} left`;
    }
    if (!left && queue.length) text += " · all done";
    if (this.pending.size) text += ` · ${this.pending.size} being saved`;
    this.state.textContent = text;
    this.fill.style.width = `${queue.length ? (100 * done) / queue.length : 0}%`;
    this.box.dataset.done = done;
    this.box.dataset.pending = this.pending.size;
    const own = codes[this.at];
    [...this.choices.children].forEach((node, code) => node.setAttribute("aria-pressed", String(code === own)));
    const word = (code) => WORDS[code] ?? classes[code];
    if (this.last !== undefined && codes[this.last] !== UNANSWERED) {
      const guess = guesses[this.last];
      const said = word(codes[this.last]);
      const other = guess && codes[this.last] >= 0 && guess !== said;
      this.say(`Before: ${said}.` + (guess ? ` f guessed ${guess}.` : "") + (other ? " Undo to look again." : ""), other);
    } else if (own !== UNANSWERED && own !== undefined) {
      const guess = guesses[this.at];
      this.say(`Your answer: ${word(own)}.` + (guess ? ` f guessed ${guess}.` : ""));
    } else this.say("");
  }

  say(text, differs = false) {
    this.told.textContent = text;
    this.told.classList.toggle("differs", Boolean(differs));
  }

  remove() {
    window.removeEventListener("keydown", this.typed, true);
    clearInterval(this.timer);
    for (const image of this.images.values()) if (image instanceof Image) URL.revokeObjectURL(image.src);
    this.box.remove();
    labelers.delete(this.root);
  }
}

function button(key, word, act) {
  const node = element("button", "choice");
  node.type = "button";
  if (key) node.append(element("kbd", "", key));
  node.append(element("span", "", word));
  node.addEventListener("click", act);
  return node;
}

function duration(seconds) {
  return seconds < 90 ? `${Math.round(seconds)} s` : `${Math.round(seconds / 60)} min`;
}

function element(tag, name, text) {
  const node = document.createElement(tag);
  if (name) node.className = name;
  if (text !== undefined) node.textContent = text;
  return node;
}
