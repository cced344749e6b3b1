// Keeps the part of a page that changes as new as the database, and shows times in the reader's own zone.
// What is shown always comes from the server as a whole: events only say when to ask. So a reload, a second tab, a
// restart of the service and a proxy that swallows events all end with the same page.
"use strict";

(() => {
  const EVENTS = ["Accepted", "Started", "Delivered", "Progressed", "Postponed", "Completed", "Failed", "Cancelled", "Noted"];
  const CALM = 15000, RESTLESS = 2000, AFTER_FAILURE = 1000, LONGEST = 15000;
  const live = document.getElementById("live");
  const say = document.getElementById("say");
  const connection = document.getElementById("connection");
  let ahead = 0; // how far the server's clock is ahead of this one, in milliseconds

  // --- times -------------------------------------------------------------------------------------------------------

  const sameDay = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
  const otherDay = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
  const whole = new Intl.DateTimeFormat(undefined, { dateStyle: "long", timeStyle: "long" });

  function span(milliseconds) {
    const seconds = Math.max(0, Math.floor(milliseconds / 1000));
    const steps = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
    const first = steps.findIndex(([length]) => seconds >= length || length === 1);
    const [length, unit] = steps[first];
    const rest = seconds % length;
    const next = steps[first + 1];
    const more = next && Math.floor(rest / next[0]);
    return `${Math.floor(seconds / length)} ${unit}` + (more ? ` ${more} ${next[1]}` : "");
  }

  function put(element, text) {
    if (element.textContent !== text) element.textContent = text;
  }

  function localise(root) {
    const today = new Date().toDateString();
    for (const element of root.querySelectorAll("time[data-local]")) {
      const at = new Date(element.dateTime);
      put(element, (at.toDateString() === today ? sameDay : otherDay).format(at));
      element.title = whole.format(at);
    }
    tick();
  }

  function tick() {
    const now = Date.now() + ahead;
    for (const element of document.querySelectorAll("time[data-since]")) put(element, span(now - new Date(element.dateTime)));
  }

  function setClock(root) {
    const mark = root.querySelector("[data-now]");
    if (mark) ahead = new Date(mark.dataset.now) - Date.now();
  }

  setClock(document);
  localise(document);
  setInterval(tick, 1000);
  if (!live) return;

  // --- the changing part ---------------------------------------------------------------------------------------------

  const state = () => live.firstElementChild;
  const version = () => Number(state()?.dataset.version ?? 0);
  const over = () => Boolean(state() && "ended" in state().dataset);
  const steady = (html) => html.replace(/ data-now="[^"]*"/, "").replace(/(data-since>)[^<]*/g, "$1");
  let shown = null, asking = false, again = false, trouble = 0, timer = 0, source = null, heard = false, listened = -Infinity;

  // A list may be open, a text or a time half written: none is taken away.
  const busy = (field) => live.contains(field) && Boolean(field.closest("form.filter"));

  function swap(html) {
    const fresh = steady(html);
    if (fresh === shown || busy(document.activeElement)) return;
    shown = fresh;
    const before = state()?.dataset.say;
    const focused = document.activeElement?.id;
    const checked = [...live.querySelectorAll("input:checked")].map((box) => box.value);
    const open = [...live.querySelectorAll("details[open][id]")].map((details) => details.id);
    live.innerHTML = html;
    for (const box of live.querySelectorAll("input[type=checkbox]")) box.checked = checked.includes(box.value);
    for (const id of open) document.getElementById(id)?.setAttribute("open", "");
    if (focused && document.activeElement === document.body) document.getElementById(focused)?.focus({ preventScroll: true });
    setClock(live);
    localise(live);
    const now = state()?.dataset.say;
    if (now && now !== before) say.textContent = now;
    if (state()?.dataset.title) document.title = state().dataset.title;
    live.dispatchEvent(new CustomEvent("swapped"));
  }

  async function ask() {
    if (asking) {
      again = true;
      return;
    }
    asking = true;
    do {
      again = false;
      try {
        const answer = await fetch(live.dataset.fragment, { headers: { "Callslip-Fragment": "1", Accept: "text/html" } });
        if (answer.status === 401) return location.reload();
        if (!answer.ok) throw new Error(String(answer.status));
        swap(await answer.text());
        trouble = 0;
        listen();
      } catch {
        trouble += 1;
      }
    } while (again && !trouble);
    asking = false;
    tellConnection();
    plan();
  }

  function tellConnection() {
    if (!connection) return;
    connection.hidden = trouble < 2;
    put(connection, trouble < 2 ? "" : "The service cannot be reached at the moment. This page goes on by itself as soon as it can.");
  }

  function plan() {
    clearTimeout(timer);
    if (over()) return stop();
    if (document.hidden) return;
    const wait = trouble ? Math.min(AFTER_FAILURE * 2 ** (trouble - 1), LONGEST) * (0.75 + Math.random() / 2) : heard ? CALM : Number(live.dataset.every ?? RESTLESS);
    timer = setTimeout(ask, wait);
  }

  // --- events --------------------------------------------------------------------------------------------------------

  function foretold({ facts, detail }) {
    const bar = live.querySelector("progress"), percent = live.querySelector(".percent"), telling = live.querySelector(".telling");
    if (!bar || !percent || !telling) return false;
    if (facts?.progress_millis != null) {
      bar.value = Math.floor(facts.progress_millis / 10);
      put(percent, `${bar.value} %`);
    }
    if (detail?.progress_message) put(telling, detail.progress_message);
    return true;
  }

  function listen() {
    if (source || over() || document.hidden || !live.dataset.events || performance.now() - listened < CALM) return;
    listened = performance.now();
    // One line earlier than what is shown: it comes at once, and proves that nothing between swallows events.
    source = new EventSource(`${live.dataset.events}&last_event_id=${Math.max(version() - 1, 0)}`);
    const on = (event) => {
      heard = true;
      if (Number(event.lastEventId) <= version()) return;
      // A hundred pages that watch one job show its progress at once, and need not all ask in the same moment.
      if (event.type === "Progressed" && foretold(JSON.parse(event.data))) setTimeout(ask, 50 + Math.random() * 300);
      else ask();
    };
    for (const type of EVENTS) source.addEventListener(type, on);
    source.addEventListener("open", () => trouble && ask());
    source.addEventListener("error", () => {
      heard = false;
      if (source?.readyState === EventSource.CLOSED) stop();
      plan();
    });
  }

  function stop() {
    source?.close();
    source = null;
    heard = false;
  }

  // A browser opens six connections to a host: a tab that nobody looks at holds none.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) {
      stop();
      clearTimeout(timer);
    } else {
      listened = -Infinity;
      listen();
      ask();
    }
  });
  window.addEventListener("pagehide", stop);
  window.addEventListener("pageshow", (event) => {
    if (event.persisted) {
      listened = -Infinity;
      listen();
      ask();
    }
  });

  listen();
  plan();
})();
