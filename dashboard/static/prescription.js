// Comforts of writing a prescription: rows without a reload, a draft that keeps itself. The page works without it.
"use strict";

(() => {
  const form = document.querySelector("[data-prescription]");
  if (!form) return;
  const KEEP_AFTER_MS = 1500;
  const list = form.querySelector("[data-items]");
  const template = form.querySelector("[data-item-template]");
  const add = form.querySelector("[data-add]");
  const kept = form.querySelector("[data-kept]");
  const word = form.dataset.itemWord;
  let next = list.children.length, timer = 0, running = null, leaving = false;

  const items = () => [...list.querySelectorAll("[data-item]")];
  const say = (words) => { if (kept.textContent !== words) kept.textContent = words; };

  function renumber() {
    items().forEach((item, at) => {
      for (const place of item.querySelectorAll("[data-item-number]")) place.textContent = at + 1;
    });
    add.disabled = items().length >= Number(form.dataset.most);
  }

  // The server reads rows in the order of their numbers, whatever is missing between them.
  function addItem() {
    const fresh = template.content.cloneNode(true);
    for (const part of fresh.querySelectorAll("*")) {
      for (const name of ["id", "name", "for", "value", "aria-describedby"]) {
        if (part.hasAttribute(name)) part.setAttribute(name, part.getAttribute(name).replaceAll("NEW", next));
      }
    }
    next += 1;
    list.append(fresh);
    renumber();
    items().at(-1).querySelector("input").focus();
    say(`${word} ${items().length} was added`);
  }

  function removeItem(item) {
    const at = items().indexOf(item);
    item.remove();
    if (!items().length) { addItem(); return; }
    renumber();
    items()[Math.min(at, items().length - 1)].querySelector("input").focus();
    say(`${word} ${at + 1} was removed`);
    keepSoon();
  }

  function keepSoon() {
    clearTimeout(timer);
    timer = setTimeout(keep, KEEP_AFTER_MS);
  }

  async function keep() {
    clearTimeout(timer);
    timer = 0;
    if (leaving) return;
    if (running) running.abort();
    const own = running = new AbortController();
    const body = new URLSearchParams(new FormData(form));
    body.set("do", "autosave");
    try {
      const answer = await fetch(form.action, { method: "POST", body, redirect: "manual", signal: own.signal, keepalive: true });
      if (answer.status === 204) say("The draft is kept.");
      else if (answer.type === "opaqueredirect") say("It was sent or ended meanwhile, or you are signed out: reload the page.");
      else say("The draft could not be kept; save it yourself.");
    } catch {
      if (!own.signal.aborted) say("The server could not be reached; the draft is not kept yet.");
    }
    if (running === own) running = null;
  }

  form.addEventListener("click", (event) => {
    const remove = event.target.closest("[data-remove]");
    if (remove) { event.preventDefault(); removeItem(remove.closest("[data-item]")); }
    else if (event.target.closest("[data-add]")) { event.preventDefault(); addItem(); }
  });
  form.addEventListener("input", (event) => { if (event.target.matches("input:not([type=radio], [type=search]), textarea")) keepSoon(); });
  form.addEventListener("change", (event) => {
    if (!event.target.matches("[name=receiver]")) return;
    for (const place of form.querySelectorAll(".side-buttons [data-receiver-name]")) place.textContent = event.target.dataset.name;
  });
  // What is sent now is newer than what was on its way.
  form.addEventListener("submit", () => { leaving = true; clearTimeout(timer); if (running) running.abort(); });
  document.addEventListener("visibilitychange", () => { if (document.hidden && timer) keep(); });
  window.addEventListener("pageshow", () => { leaving = false; });
})();
