// Draws the figures: those in sight at once, the others while nothing else is to do; anew where light turns to dark.
"use strict";
(() => {
  const { config, figures } = JSON.parse(document.getElementById("data").textContent);
  const plots = [...document.querySelectorAll(".plot")];
  const views = new Map(); // by plot: what Vega made of it
  const ends = new Map(); // by figure: from when to when it is shown
  const prefersDark = matchMedia("(prefers-color-scheme: dark)");
  const narrowest = 200;

  const shade = () => document.documentElement.dataset.shade || (prefersDark.matches ? "dark" : "light");
  const room = () => document.querySelector("main").clientWidth;

  function fitted(spec, width) {
    const panel = Math.max(width - spec.usermeta.beside_px, narrowest);
    // On a phone, what stands behind the colon goes to a line of its own.
    const titled = (title) => (panel < 420 && title.includes(": ") ? title.split(": ") : title);
    return {
      ...spec,
      padding: { left: 0, top: 2, right: 2, bottom: 8 },
      params: spec.params.map((one) => (one.name === "panel" ? { ...one, value: panel } : one)),
      vconcat: spec.vconcat.map((one) => ({ ...one, width: panel, title: titled(one.title) })),
    };
  }

  async function draw(plot) {
    const name = plot.dataset.figure;
    const now = shade();
    const drawn = `${now} ${room()}`;
    if (plot.dataset.drawn === drawn) return;
    plot.dataset.drawn = drawn;
    views.get(plot)?.finalize();
    const result = await vegaEmbed(plot, fitted(figures[name].spec, room()), {
      actions: false, renderer: "svg", config: config[now], tooltip: { theme: now },
    });
    views.set(plot, result);
    plot.classList.toggle("dark", now === "dark");
    plot.style.minHeight = "0";
    if (figures[name].zooms) zooming(plot, name, result.view);
  }

  // Zoom: buttons, or a stretch drawn with a mouse; a finger scrolls the page.
  function zooming(plot, name, view) {
    const whole = ends.get(name) || [view.signal("from"), view.signal("to")];
    ends.set(name, whole);
    const show = (from, to) => {
      const least = (whole[1] - whole[0]) / 500;
      from = Math.max(from, whole[0]);
      to = Math.min(to, whole[1]);
      if (to - from >= least) view.signal("from", from).signal("to", to).runAsync();
    };
    const group = plot.parentElement.querySelector(".zoom");
    group.hidden = false;
    group.onclick = (event) => {
      const how = event.target.dataset.zoom;
      const from = view.signal("from"), to = view.signal("to"), length = to - from;
      if (how === "in") show(from + length / 4, to - length / 4);
      if (how === "out") show(from - length / 2, to + length / 2);
      if (how === "left") show(...(from - length / 2 < whole[0] ? [whole[0], whole[0] + length] : [from - length / 2, to - length / 2]));
      if (how === "right") show(...(to + length / 2 > whole[1] ? [whole[1] - length, whole[1]] : [from + length / 2, to + length / 2]));
      if (how === "whole") show(...whole);
    };
    plot.onpointerdown = (event) => {
      if (event.pointerType !== "mouse" || event.button !== 0) return;
      const box = plot.getBoundingClientRect();
      const left = view.origin()[0];
      const scale = view.scale("concat_0_x");
      const width = Math.abs(scale.range()[1] - scale.range()[0]);
      const place = (moved) => Math.min(Math.max(moved.clientX - box.left - left, 0), width);
      const begin = place(event);
      const band = document.createElement("div");
      band.className = "chosen";
      const move = (moved) => {
        const [a, b] = [begin, place(moved)].sort((x, y) => x - y);
        Object.assign(band.style, { left: `${a + left}px`, width: `${b - a}px`, top: 0, bottom: 0 });
        if (b - a > 4 && !band.parentElement) plot.append(band);
      };
      const up = (moved) => {
        removeEventListener("pointermove", move);
        removeEventListener("pointerup", up);
        band.remove();
        const [a, b] = [begin, place(moved)].sort((x, y) => x - y);
        if (b - a > 4) show(scale.invert(a), scale.invert(b));
      };
      addEventListener("pointermove", move);
      addEventListener("pointerup", up);
      event.preventDefault();
    };
    plot.ondblclick = () => show(...whole);
  }

  const report = (error) => console.error(error);
  const soon = window.requestIdleCallback
    ? (then) => requestIdleCallback(then, { timeout: 100 }) // a busy machine may never be idle
    : (then) => setTimeout(then, 50);

  // All of them, one after the other, so that a printed page has them too.
  let round = 0;
  function drawAll() {
    const mine = ++round;
    const waiting = plots.filter((plot) => plot.dataset.drawn !== `${shade()} ${room()}`);
    const next = () => {
      const plot = waiting.shift();
      if (plot && mine === round) draw(plot).catch(report).finally(() => soon(next));
      else if (mine === round) document.body.dataset.drawn = String(plots.length);
    };
    next();
  }
  const inSight = new IntersectionObserver((seen) => {
    for (const one of seen) if (one.isIntersecting) draw(one.target).catch(report);
  }, { rootMargin: "200px" });
  plots.forEach((plot) => inSight.observe(plot));

  const again = () => { drawAll(); plots.forEach((plot) => { inSight.unobserve(plot); inSight.observe(plot); }); };
  let resized;
  addEventListener("resize", () => { clearTimeout(resized); resized = setTimeout(again, 150); });
  prefersDark.addEventListener("change", again);
  const toggle = document.getElementById("shade");
  toggle.hidden = false;
  toggle.onclick = () => { document.documentElement.dataset.shade = shade() === "dark" ? "light" : "dark"; again(); };
  let opened = [];
  addEventListener("beforeprint", () => {
    opened = [...document.querySelectorAll("details.more:not([open])")];
    opened.forEach((one) => { one.open = true; });
  });
  addEventListener("afterprint", () => opened.forEach((one) => { one.open = false; }));
  drawAll();
})();
