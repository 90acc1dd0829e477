// Comforts of a ticket's page, which works without it: new messages and statuses appear, receiving and reading are told by
// themselves, and what is written stays when sending fails. `isInUse`, `keepFocus` and `updateTimes` are app.js's; the
// connection that tells of changes (the event "dispatchlog:ticket") is another file's.
"use strict";

(() => {
  const ticket = document.querySelector("[data-ticket]");
  if (!ticket) return;
  const list = ticket.querySelector("[data-messages]");
  const form = ticket.querySelector("[data-compose]");
  const PATIENCE_MS = 20000, BEYOND_ALL = "999999999999999999", READ_AFTER_MS = 400;
  const JSON_PLEASE = { Accept: "application/json" };
  const follows = "follows" in ticket.dataset;
  let running = false, wanted = false, sending = false, isGone = false, readNumber = Number(ticket.dataset.readNumber), toRead = 0, readTimer = 0;

  const numberOf = (message) => Number(message.dataset.number);
  const shown = () => [...list.querySelectorAll("[data-number]")];
  const lastNumber = () => Math.max(0, ...shown().map(numberOf));
  const text = () => (form ? form.elements.body.value : "");

  function post(address, fields) {
    const body = new URLSearchParams(fields);
    return fetch(address, { method: "POST", body, headers: JSON_PLEASE, redirect: "manual", signal: AbortSignal.timeout(PATIENCE_MS) });
  }

  const token = () => ticket.querySelector("[name=csrf_token]")?.value ?? "";

  function say(words) {
    const place = form?.querySelector("[data-fault]");
    if (place && place.textContent !== words) place.textContent = words;
    if (words) form?.elements.body.setAttribute("aria-invalid", "true"); else form?.elements.body.removeAttribute("aria-invalid");
  }

  // Whoever is not signed in any more sees so; what they were writing is not thrown away for it.
  function gone() {
    isGone = true;
    if (text().trim()) say("You are not signed in any more. Your text is still here: sign in in another window, then send it.");
    else location.reload();
  }

  // --- what is new

  async function renew() {
    if (running) { wanted = true; return; }
    running = true;
    try {
      do { wanted = false; if (await readNews()) wanted = true; } while (wanted);
    } catch {
      // The next change or look asks again.
    }
    running = false;
  }

  // Whether there is more than came at once.
  async function readNews() {
    const number = follows ? lastNumber() : BEYOND_ALL;
    const patience = AbortSignal.timeout(PATIENCE_MS);
    const answer = await fetch(`${ticket.dataset.since}?number=${number}`, { headers: { "X-Background-Refresh": "1" }, redirect: "manual", signal: patience });
    if (answer.type === "opaqueredirect" || answer.status === 403 || answer.status === 404) { gone(); return false; }
    if (!answer.ok) throw new Error(String(answer.status));
    const news = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("[data-news]");
    if (!news) return false;
    if ("closed" in news.dataset && form && !text().trim()) { location.reload(); return false; }
    for (const field of document.querySelectorAll("[name=csrf_token]")) field.value = news.dataset.csrf;
    readNumber = Math.max(readNumber, Number(news.dataset.readNumber));
    let added = 0;
    for (const message of news.querySelectorAll("[data-messages] > [data-number]")) {
      if (!follows || document.getElementById(message.id)) continue;
      list.append(document.adoptNode(message));
      added += 1;
    }
    if (added) ticket.querySelector("[data-empty]").hidden = true;
    if (follows) placeMarks(news);
    for (const part of news.querySelectorAll("[data-part]")) replacePart(part);
    replaceOptions(news);
    updateTimes();
    watch();
    receive();
    return "more" in news.dataset && added > 0;
  }

  function placeMarks(news) {
    for (const mark of list.querySelectorAll("[data-read-mark]")) mark.remove();
    for (const mark of news.querySelectorAll("[data-read-mark]")) {
      const before = shown().filter((message) => numberOf(message) <= Number(mark.dataset.after));
      if (before.length) before[before.length - 1].after(document.adoptNode(mark));
    }
  }

  function replacePart(fresh) {
    const part = ticket.querySelector(`[data-part="${fresh.dataset.part}"]`);
    if (!part || part.innerHTML === fresh.innerHTML || isInUse(part)) return;
    const tone = fresh.dataset.tone, head = part.closest("[data-tone-of-part]");
    if (tone && head) head.className = head.className.replace(/tone-\w+/, `tone-${tone}`);
    keepFocus(part, () => part.replaceChildren(...[...fresh.childNodes].map((node) => document.adoptNode(node))));
  }

  function replaceOptions(news) {
    for (const fresh of news.querySelectorAll("[data-options]")) {
      const select = ticket.querySelector(`select[data-options="${fresh.dataset.options}"]`);
      if (!select || select === document.activeElement || select.options.length === fresh.options.length) continue;
      const chosen = select.value;
      select.replaceChildren(...[...fresh.childNodes].map((node) => document.adoptNode(node)));
      select.value = chosen;
    }
  }

  // --- receiving and reading

  let received = false;
  async function receive() {
    const receiving = ticket.querySelector("form[data-receive]");
    if (!receiving || received || document.hidden) return;
    received = true;
    try {
      const answer = await post(receiving.action, new FormData(receiving));
      if (answer.ok) renew(); else received = false;
    } catch {
      received = false;
    }
  }

  async function tellRead() {
    readTimer = 0;
    if (toRead <= readNumber || document.hidden) return;
    const number = toRead;
    try {
      const answer = await post(ticket.dataset.read, { csrf_token: token(), number: String(number) });
      if (!answer.ok) return;
      readNumber = Math.max(readNumber, number);
      renew();
    } catch {
      // It is told when the page is looked at again.
    }
  }

  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting || document.hidden) continue;
      seen.unobserve(entry.target);
      toRead = Math.max(toRead, numberOf(entry.target));
    }
    if (toRead > readNumber && !readTimer) readTimer = setTimeout(tellRead, READ_AFTER_MS);
  });

  function watch() {
    for (const message of shown()) {
      if (numberOf(message) > readNumber && !("own" in message.dataset)) seen.observe(message);
    }
  }

  // --- writing

  async function send() {
    if (sending) return;
    if (!text().trim()) { say("Write something first."); form.elements.body.focus(); return; }
    const button = form.querySelector("[data-send]"), box = form.elements.body;
    sending = box.readOnly = true;
    button.setAttribute("aria-disabled", "true");
    say("");
    try {
      const answer = await post(form.action, new FormData(form));
      if (answer.type === "opaqueredirect") { gone(); return; }
      const told = await answer.json().catch(() => ({}));
      if (told.next_message_id) form.elements.message_id.value = told.next_message_id;
      if (!answer.ok) { await notSent(answer.status, told); return; }
      box.value = "";
      form.elements.timeline_id.value = "";
      form.querySelector("[data-sent]").textContent = "Sent.";
      if (follows) await renew(); else location.assign(location.pathname + "#messages");
    } catch {
      say("Not sent, or we did not hear that it was. Your text is still here: send it again, it never goes twice.");
    } finally {
      sending = box.readOnly = false;
      button.removeAttribute("aria-disabled");
    }
  }

  async function notSent(status, told) {
    // The page was open for too long: with the token of now it can be sent again.
    if (told.code === "CSRF") { isGone = false; await renew(); if (isGone) return; }
    const words = told.code === "CSRF" ? "This page was open for long. Your text is still here: send it once more." : told.message;
    say(words || `Not sent (${status}). Your text is still here: send it again.`);
  }

  form?.addEventListener("submit", (event) => { event.preventDefault(); send(); });
  form?.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); send(); }
  });
  form?.elements.body.addEventListener("input", () => { say(""); form.querySelector("[data-sent]").textContent = ""; });
  if (form) form.noValidate = true;
  window.addEventListener("beforeunload", (event) => { if (text().trim() && !sending) event.preventDefault(); });

  document.addEventListener("dispatchlog:ticket", (event) => {
    const about = event.detail?.ticketId;
    if (!about || about === ticket.dataset.ticketId) renew();
  });
  document.addEventListener("visibilitychange", () => { if (!document.hidden) { receive(); renew(); watch(); } });
  window.addEventListener("pageshow", (event) => { if (event.persisted) renew(); });
  watch();
  receive();
})();
