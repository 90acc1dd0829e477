// Says what changed since a list was opened: how many came in, and which cards somebody else has settled. Nothing moves
// under the hand of whoever works in it; the page is opened anew by its own link.
"use strict";

const EVERY_MS = 10000, SLOWEST_MS = 60000;

function watch(list) {
  const news = document.querySelector("[data-news]");
  const ids = (root) => [...root.querySelectorAll("[data-card]")].map((card) => card.dataset.card);
  let wait = EVERY_MS, timer = 0;

  function mark(card) {
    if (card.querySelector(".inbox-gone")) return;
    const words = document.createElement("p");
    words.className = "inbox-gone badge small tone-off";
    words.textContent = list.dataset.gone;
    card.append(words);
  }

  function compare(fresh) {
    const there = new Set(ids(fresh)), here = new Set(ids(list));
    const more = [...there].filter((id) => !here.has(id)).length;
    const gone = list.dataset.gone ? [...list.querySelectorAll("[data-card]")].filter((card) => !there.has(card.dataset.card)) : [];
    gone.forEach(mark);
    const parts = [];
    if (more) parts.push(`${more} more ${list.dataset.watch}${more === 1 ? "" : "s"}`);
    if (gone.length) parts.push(`${gone.length} ${list.dataset.gone.toLowerCase()}`);
    const words = parts.join(", ");
    if (words === news.dataset.words) return;
    news.dataset.words = words;
    news.replaceChildren();
    if (!words) return;
    const show = document.createElement("a");
    show.href = location.href;
    show.textContent = "Show";
    news.append(`${words} · `, show);
  }

  async function look() {
    try {
      const answer = await fetch(location.href, { headers: { "X-Background-Refresh": "1" }, redirect: "manual", signal: AbortSignal.timeout(20000) });
      if (!answer.ok) throw new Error(String(answer.status));
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("[data-watch]");
      if (fresh) compare(fresh);
      wait = EVERY_MS;
    } catch {
      wait = Math.min(wait * 2, SLOWEST_MS);
    }
    plan();
  }

  function plan() {
    clearTimeout(timer);
    if (!document.hidden) timer = setTimeout(look, wait);
  }

  document.addEventListener("visibilitychange", () => { if (document.hidden) clearTimeout(timer); else look(); });
  plan();
}

const watched = document.querySelector("[data-watch]");
if (watched) watch(watched);
