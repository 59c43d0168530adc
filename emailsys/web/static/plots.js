// Live plots: draws the numbers of the event stream as lines. Everything is text or SVG made here; nothing is HTML.
"use strict";
(() => {
  const SVG = "http://www.w3.org/2000/svg", KEPT = 120, WIDTH = 300, HEIGHT = 90;
  const place = document.getElementById("plots"), live = document.getElementById("live");
  const size = (n) => n === null ? "unknown" : n >= 1e9 ? (n / 1e9).toFixed(1) + " GB" : (n / 1e6).toFixed(1) + " MB";
  const sum = (n) => Object.entries(n.sessions).filter(([name]) => name !== "https").reduce((all, [, one]) => all + one, 0);
  const rate = (name) => (now, before) => before ? Math.max(0, (now[name] - before[name]) / Math.max(0.5, now.at - before.at)) : 0;
  const show = (n) => n >= 10 ? Math.round(n).toString() : n.toFixed(1).replace(/\.0$/, "");
  const plots = [
    {title: "Messages in, and delivered to others, a second", of: [rate("accepted"), rate("relayed")]},
    {title: "Queue: waiting, and held", of: [(n) => n.waiting + n.leased, (n) => n.held]},
    {title: "Open sessions", of: [sum]},
    {title: "Commits a second", of: [rate("commits")]},
    {title: "Read of the queue, milliseconds", of: [(n) => n.store_ms]},
    {title: "Refusals a second", of: [rate("refused")]},
    {title: "Free disk", of: [(n) => n.disk_free === null ? 0 : n.disk_free], words: (n) => size(n.disk_free)},
  ];
  const make = (name, attributes, parent) => {
    const one = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) one.setAttribute(key, value);
    parent.append(one);
    return one;
  };
  for (const plot of plots) {
    const figure = document.createElement("figure"), caption = document.createElement("figcaption");
    const title = document.createElement("span"), value = document.createElement("span");
    figure.className = "plot";
    title.textContent = plot.title;
    caption.append(title, value);
    figure.append(caption);
    const svg = make("svg", {viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img"}, figure);
    svg.setAttribute("aria-label", plot.title);
    make("path", {class: "grid", d: `M0 ${HEIGHT}H${WIDTH}M0 0H${WIDTH}`}, svg);
    plot.lines = plot.of.map((_, number) => make("path", {class: number ? "second" : "first", d: ""}, svg));
    plot.value = value;
    plot.data = plot.of.map(() => []);
    place.append(figure);
  }
  let before = null;
  const draw = (now) => {
    for (const plot of plots) {
      const current = plot.of.map((of) => of(now, before));
      current.forEach((n, number) => { plot.data[number].push(n); if (plot.data[number].length > KEPT) plot.data[number].shift(); });
      const most = Math.max(1, ...plot.data.flat());
      plot.data.forEach((data, number) => {
        const step = WIDTH / (KEPT - 1), start = WIDTH - (data.length - 1) * step;
        plot.lines[number].setAttribute("d", data.map((n, at) => `${at ? "L" : "M"}${(start + at * step).toFixed(1)} ${(HEIGHT - n / most * (HEIGHT - 4)).toFixed(1)}`).join(""));
      });
      plot.value.textContent = plot.words ? plot.words(now) : current.map(show).join(" / ");
    }
    before = now;
  };
  const source = new EventSource(place.dataset.events);
  source.addEventListener("numbers", (told) => { live.textContent = "Live."; draw(JSON.parse(told.data)); });
  // Each connection begins with the numbers of the last minutes.
  source.addEventListener("open", () => { before = null; for (const plot of plots) plot.data = plot.of.map(() => []); });
  source.addEventListener("error", () => { live.textContent = "The connection is lost; trying again."; });
  addEventListener("pagehide", () => source.close());
})();
