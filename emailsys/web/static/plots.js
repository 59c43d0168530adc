// Live plots: draws the numbers of the event stream as lines. Everything is text or SVG made here; nothing is HTML.
"use strict";
(() => {
  const SVG = "http://www.w3.org/2000/svg", KEPT = 120, WIDTH = 300, HEIGHT = 90;
  const place = document.getElementById("plots"), live = document.getElementById("live");
  const size = (n) => n === null ? "unknown" : n >= 1e9 ? (n / 1e9).toFixed(1) + " GB" : (n / 1e6).toFixed(1) + " MB";
  const sum = (n) => Object.entries(n.sessions).filter(([name]) => name !== "https").reduce((all, [, one]) => all + one, 0);
  const rate = (name) => (now, before) => before ? Math.max(0, (now[name] - before[name]) / Math.max(0.5, now.at - before.at)) : 0;
  // Between two commits there is no latency: the newest one is shown on.
  let latest = 0;
  const commitTime = (now, before) => {
    const commits = before ? now.commits - before.commits : 0;
    if (commits > 0) latest = Math.max(0, 1000 * (now.commit_seconds - before.commit_seconds) / commits);
    return latest;
  };
  const show = (n) => n >= 10 ? Math.round(n).toString() : n.toFixed(1).replace(/\.0$/, "");
  const plots = [
    {title: "Messages a second", names: ["in", "out, to other hosts"], of: [rate("accepted"), rate("relayed")]},
    {title: "Queue", names: ["waiting", "held"], of: [(n) => n.waiting + n.leased, (n) => n.held]},
    {title: "Latency, milliseconds", names: ["of a commit", "of a read of the queue"], of: [commitTime, (n) => n.store_ms]},
    {title: "Connections", names: ["open sessions"], of: [sum]},
    {title: "Commits a second", names: ["commits"], of: [rate("commits")]},
    {title: "Refusals a second", names: ["refusals"], of: [rate("refused")]},
    {title: "Free disk", names: ["free"], of: [(n) => n.disk_free], show: size},
  ];
  const make = (name, attributes, parent) => {
    const one = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) one.setAttribute(key, value);
    parent.append(one);
    return one;
  };
  for (const plot of plots) {
    const figure = document.createElement("figure"), caption = document.createElement("figcaption");
    const title = document.createElement("span"), top = document.createElement("span"), names = document.createElement("ul");
    figure.className = "plot";
    title.textContent = plot.title;
    top.className = "top-of-scale";
    caption.append(title, top);
    figure.append(caption);
    plot.values = plot.names.map((name, number) => {
      const one = document.createElement("li"), value = document.createElement("strong");
      one.className = number ? "second" : "first";
      one.append(value, ` ${name}`);
      names.append(one);
      return value;
    });
    const svg = make("svg", {viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img"}, figure);
    svg.setAttribute("aria-label", plot.title);
    make("path", {class: "grid", d: `M0 ${HEIGHT}H${WIDTH}M0 0H${WIDTH}`}, svg);
    plot.lines = plot.of.map((_, number) => make("path", {class: number ? "second" : "first", d: ""}, svg));
    figure.append(names);
    plot.top = top;
    plot.show = plot.show || show;
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
      plot.top.textContent = `0 to ${plot.show(most)}`;
      current.forEach((n, number) => { plot.values[number].textContent = plot.show(n); });
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
