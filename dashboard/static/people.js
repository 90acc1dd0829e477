// Comfort for what is shown once: copying it. Without scripts it is selected and copied by hand.
"use strict";

for (const button of document.querySelectorAll("[data-copy]")) {
  const source = document.getElementById(button.dataset.copy);
  if (!source || !navigator.clipboard) continue;
  const words = button.textContent;
  button.hidden = false;
  button.addEventListener("click", async () => {
    const items = [...source.querySelectorAll("li")];
    const text = items.length ? items.map((item) => item.textContent).join("\n") : source.textContent;
    try {
      await navigator.clipboard.writeText(text.trim());
      button.textContent = "Copied";
    } catch {
      button.textContent = "Not copied: select it and copy it by hand";
    }
    setTimeout(() => { button.textContent = words; }, 4000);
  });
}
