// Check of the store, step by step, with what was found so far.
"use strict";
(() => {
  const start = document.getElementById("start"), progress = document.getElementById("progress");
  const found = document.getElementById("found"), flaws = document.getElementById("flaws");
  found.textContent = "";
  start.addEventListener("click", async () => {
    let cursor = "", messages = 0, octets = 0, wrong = 0;
    start.disabled = true;
    progress.hidden = false;
    flaws.replaceChildren();
    try {
      do {
        const answer = await fetch(`${start.dataset.step}?cursor=${encodeURIComponent(cursor)}`, {headers: {Accept: "application/json"}});
        if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
        const part = await answer.json();
        messages += part.messages;
        octets += part.octets;
        for (const flaw of part.flaws) {
          const line = document.createElement("li");
          line.textContent = `${flaw.queue_id}: ${flaw.what}`;
          flaws.append(line);
          wrong += 1;
        }
        cursor = part.cursor;
        found.textContent = `${messages} messages, ${octets} octets, ${wrong} flaws so far.`;
      } while (cursor);
      found.textContent = `${messages} messages and ${octets} octets were checked: ${wrong ? wrong + " flaws" : "all is well"}.`;
    } catch (error) {
      found.textContent = `The check ended early: ${error.message}. Try again.`;
    }
    progress.hidden = true;
    start.disabled = false;
  });
})();
