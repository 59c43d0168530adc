// One box chooses all messages of the page.
"use strict";
(() => {
  const all = document.getElementById("all-rows");
  if (!all) return;
  all.hidden = false;
  all.addEventListener("change", (event) => {
    for (const box of document.querySelectorAll('input[name="queue_id"]')) box.checked = event.target.checked;
  });
})();
