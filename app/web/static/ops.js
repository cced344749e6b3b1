// Ticking, copying and asking twice. The pages work without it.
"use strict";

(() => {
  const say = document.getElementById("say");

  function dress() {
    for (const button of document.querySelectorAll("[data-copy]")) button.hidden = !navigator.clipboard;
  }

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    if (button.dataset.copy) {
      await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
      button.textContent = "Copied";
      say.textContent = "Copied";
      setTimeout(() => (button.textContent = "Copy"), 2000);
    }
    if ("tickAll" in button.dataset) {
      const boxes = [...button.form.querySelectorAll("input[type=checkbox]")];
      const all = boxes.every((box) => box.checked);
      for (const box of boxes) box.checked = !all;
    }
    if (button.dataset.sure && !confirm(button.dataset.sure)) event.preventDefault();
  });

  document.addEventListener("change", (event) => event.target.matches("#filter select, #filter [type=search]") && event.target.form.requestSubmit());
  document.getElementById("live")?.addEventListener("swapped", dress);
  dress();
})();
