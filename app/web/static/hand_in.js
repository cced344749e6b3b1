// Sends the form with a progress bar of its own and puts refusals where they belong. Without it the form works as well.
"use strict";

(() => {
  const form = document.getElementById("hand-in");
  if (!form) return;
  const file = form.elements.file;
  const drop = document.getElementById("drop");
  const go = document.getElementById("go"), stop = document.getElementById("stop");
  const sending = document.getElementById("sending"), bar = document.getElementById("sent");
  const percent = document.getElementById("percent"), speed = document.getElementById("speed");
  const refusal = document.getElementById("refusal"), say = document.getElementById("say");
  const hint = document.getElementById("hint-file");
  const usual = hint?.textContent;
  const most = Number(form.dataset.most);

  function size(count) {
    const units = ["B", "kB", "MB", "GB", "TB"];
    let unit = 0;
    while (count >= 999.5 && unit < units.length - 1) {
      count /= 1000;
      unit += 1;
    }
    return `${unit && count < 9.95 ? count.toFixed(1) : count.toFixed(0)} ${units[unit]}`;
  }

  // --- refusals ------------------------------------------------------------------------------------------------------

  function sentence(words) {
    const whole = words.charAt(0).toUpperCase() + words.slice(1);
    return /[.?!]$/.test(whole) ? whole : `${whole}.`;
  }

  function clear() {
    refusal.replaceChildren();
    for (const place of form.querySelectorAll("[data-wrong]")) place.textContent = "";
    for (const field of form.querySelectorAll("[aria-invalid]")) field.removeAttribute("aria-invalid");
  }

  function mark(name, message) {
    const place = form.querySelector(`[data-wrong="${CSS.escape(name)}"]`);
    const field = place && (form.elements[name] ?? place.closest("fieldset")?.querySelector("input"));
    if (!field) return null;
    place.textContent = [place.textContent, sentence(message)].filter(Boolean).join(" ");
    field.setAttribute("aria-invalid", "true");
    return field;
  }

  function refuse(detail, errors = []) {
    const elsewhere = [];
    let first = null;
    for (const { field, message } of errors) {
      const marked = mark(field, message);
      if (marked) first ??= marked;
      else elsewhere.push(`${field} ${message}`.trim());
    }
    const head = document.createElement("p");
    head.textContent = `Nothing was handed in. ${sentence([detail, ...elsewhere].filter(Boolean).join("; "))}`;
    refusal.replaceChildren(head);
    (first ?? refusal).focus();
  }

  function refuseByAnswer(request) {
    if (request.status === 401) return location.assign("/login?next=/");
    let told = {};
    try {
      told = JSON.parse(request.responseText);
    } catch {
      told = {};
    }
    const errors = told.errors ?? [];
    if (!errors.length && file && [413, 415].includes(request.status)) errors.push({ field: "file", message: told.detail ?? "was refused" });
    const detail = errors.some((each) => form.querySelector(`[data-wrong="${CSS.escape(each.field)}"]`)) ? "Please look at what is marked" : told.detail;
    refuse(detail ?? "The service did not take it", errors);
  }

  // --- choosing ------------------------------------------------------------------------------------------------------

  function check() {
    const chosen = file?.files[0];
    if (!hint) return true;
    hint.textContent = chosen ? `${chosen.name}, ${size(chosen.size)}` : usual;
    drop.classList.toggle("chosen", Boolean(chosen));
    if (!chosen || (chosen.size <= most && chosen.size > 0)) return true;
    clear();
    mark("file", chosen.size ? `The file has ${size(chosen.size)}; ${size(most)} is the most` : "The file is empty");
    return false;
  }

  if (file) {
    file.addEventListener("change", () => check() && clear());
    let depth = 0;
    document.addEventListener("dragenter", () => drop.classList.toggle("over", ++depth > 0));
    document.addEventListener("dragleave", () => drop.classList.toggle("over", --depth > 0));
    document.addEventListener("dragover", (event) => event.preventDefault());
    document.addEventListener("drop", (event) => {
      depth = 0;
      drop.classList.remove("over");
      if (!event.dataTransfer?.files.length) return;
      event.preventDefault();
      const one = new DataTransfer();
      one.items.add(event.dataTransfer.files[0]);
      file.files = one.files;
      if (check()) clear();
    });
    check();
  }

  // --- sending -------------------------------------------------------------------------------------------------------

  function busy(yes) {
    go.disabled = yes;
    stop.hidden = sending.hidden = !yes;
    if (yes) stop.focus();
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (go.disabled || !check()) return file?.focus();
    clear();
    const request = new XMLHttpRequest();
    const began = performance.now();
    let told = 0;
    request.upload.addEventListener("progress", ({ loaded, total }) => {
      const share = Math.floor((loaded / total) * 100);
      const seconds = (performance.now() - began) / 1000;
      bar.value = share;
      percent.textContent = `${share} %`;
      const left = loaded ? (seconds / loaded) * (total - loaded) : 0;
      speed.textContent = `${size(loaded)} of ${size(total)}` + (seconds > 2 && left > 1 ? `, about ${Math.ceil(left)} s left` : "");
      if (share >= told + 25) say.textContent = `${(told = share - (share % 25))} % sent`;
      if (loaded === total) speed.textContent = "All sent. Waiting for the service to store it.";
    });
    request.addEventListener("load", () => {
      if (request.status === 202) return location.assign(JSON.parse(request.responseText).location);
      busy(false);
      refuseByAnswer(request);
    });
    request.addEventListener("error", () => {
      busy(false);
      refuse("The connection broke. Sending the same again is safe: it makes one job, not two");
    });
    request.addEventListener("abort", () => {
      busy(false);
      refuse("You stopped it");
    });
    stop.onclick = () => request.abort();
    request.open("POST", form.action);
    request.setRequestHeader("Accept", "application/json");
    request.send(new FormData(form));
    busy(true);
  });

  // A page out of the browser's memory carries a form that may have been sent.
  window.addEventListener("pageshow", (event) => event.persisted && location.reload());
})();
