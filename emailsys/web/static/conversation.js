// One conversation, drawn anew by the server while it goes on. The server has escaped all texts in it.
"use strict";
(() => {
  const place = document.getElementById("conversation"), live = document.getElementById("live");
  const following = document.getElementById("following"), follow = document.getElementById("follow");
  if (!place.dataset.events) return;
  following.hidden = false;
  const newest = () => {
    const drawing = [...place.querySelectorAll("figure svg")].find((one) => one.getClientRects().length);
    if (drawing) drawing.scrollIntoView({block: "end"});
  };
  follow.addEventListener("change", () => { if (follow.checked) newest(); });
  const source = new EventSource(place.dataset.events);
  source.addEventListener("open", () => { live.textContent = "Drawn while it happens."; });
  source.addEventListener("error", () => { live.textContent = "The connection is lost; trying again."; });
  source.addEventListener("drawn", (told) => {
    const {html, over} = JSON.parse(told.data);
    if (html !== null) {
      place.replaceChildren(...new DOMParser().parseFromString(html, "text/html").body.childNodes);
      if (follow.checked) newest();
    }
    if (over) {
      source.close();
      live.textContent = html === null ? "This conversation is no longer kept." : "This conversation is over.";
      following.hidden = true;
    }
  });
  addEventListener("pagehide", () => source.close());
})();
