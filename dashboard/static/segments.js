// The builder of a segment without leaving the page: its form is sent as its buttons send it, and the answer's parts are shown.
"use strict";

const segment = document.querySelector("[data-segment]");
if (segment) {
  let timer = 0;
  let asked = null;
  const busy = (on) => { document.getElementById("count").setAttribute("aria-busy", String(on)); };

  const sent = async (act) => {
    asked?.abort();
    asked = new AbortController();
    const fields = new URLSearchParams(new FormData(segment));
    fields.set("act", act);
    busy(true);
    const answer = await fetch(segment.getAttribute("action"), { method: "POST", body: fields, signal: asked.signal });
    if (!answer.ok || answer.redirected) throw new Error(String(answer.status));
    return new DOMParser().parseFromString(await answer.text(), "text/html");
  };

  // What is said aloud is written only where it differs, so that it is not said twice.
  const swap = (page, id) => {
    const part = document.getElementById(id), fresh = page.getElementById(id);
    if (part && fresh && part.innerHTML !== fresh.innerHTML) part.replaceChildren(...fresh.childNodes);
  };

  // While somebody writes, the fields stay as they are: what is wrong with them is put beside them.
  const mark = (page) => {
    for (const fault of segment.querySelectorAll("[data-fault]")) {
      const words = page.getElementById(fault.id)?.textContent ?? "";
      if (fault.textContent !== words) fault.textContent = words;
    }
    for (const field of segment.querySelectorAll("#rules input, #rules select, #rules [role=group], #rules fieldset")) {
      const fresh = field.id && page.getElementById(field.id);
      for (const name of fresh ? ["aria-invalid", "aria-describedby"] : []) {
        if (fresh.hasAttribute(name)) field.setAttribute(name, fresh.getAttribute(name));
        else field.removeAttribute(name);
      }
    }
  };

  const show = (page) => {
    for (const id of ["problems", "count", "faults", "found"]) swap(page, id);
    const json = document.getElementById("json");
    if (document.activeElement !== json) swap(page, "document");
    busy(false);
  };

  const look = async () => {
    try {
      const page = await sent("look");
      mark(page);
      show(page);
    } catch (error) {
      if (error.name !== "AbortError") busy(false);
    }
  };

  const entered = (part) => new Map([...part.querySelectorAll("input[id], select[id]")].map((field) => [field.id, field.value]));

  // The rules anew, as after one of the buttons; what was written meanwhile in the field that has the focus stays.
  const act = async (name, { pressed = null } = {}) => {
    clearTimeout(timer);
    const rules = document.getElementById("rules"), before = entered(rules);
    let page;
    try {
      page = await sent(name);
    } catch (error) {
      if (error.name !== "AbortError") { busy(false); segment.dataset.plain = "1"; pressed?.click(); }
      return;
    }
    const focused = document.activeElement, inside = rules.contains(focused) && focused.id;
    const written = before.has(inside) && focused.value !== before.get(inside) ? focused.value : null;
    rules.replaceChildren(...page.getElementById("rules").childNodes);
    swap(page, "said");
    if (name === "read-json") document.getElementById("json").blur();
    show(page);
    const wanted = rules.querySelector("[autofocus]") ?? (inside && document.getElementById(inside));
    if (wanted) {
      wanted.focus({ preventScroll: !wanted.hasAttribute("autofocus") });
      if (written !== null && wanted.id === inside) wanted.value = written;
    } else if (inside) {
      nextTo(inside)?.focus();
    }
    if (page.querySelector("#json[aria-invalid]")) document.getElementById("json").focus();
  };

  // After something was removed: what took its place, else the button that adds to its group.
  const nextTo = (id) => {
    const place = id.slice(id.indexOf("@") + 1), group = place.replace(/\.rules\.\d+$/, "");
    return document.getElementById(`${place}.field`) ?? document.getElementById(`${place}.join`) ?? document.getElementById(`add-rule@${group}`);
  };

  segment.addEventListener("submit", (event) => {
    const button = event.submitter;
    if (!button || button.name !== "act" || button.value.startsWith("save") || segment.dataset.plain) return;
    event.preventDefault();
    act(button.value, { pressed: button });
  });
  segment.addEventListener("change", (event) => {
    if (event.target.matches("[data-again]")) act("look");
  });
  segment.addEventListener("input", (event) => {
    if (event.target.matches("[data-again], #json, #name, #description")) return;
    clearTimeout(timer);
    timer = setTimeout(look, 400);
  });
  if (!document.getElementById("problem")) look();
  else document.getElementById("problem").focus();
}
