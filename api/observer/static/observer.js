"use strict";
(() => {
  const root = document.documentElement;
  const base = root.dataset.base;

  // -- light and dark --------------------------------------------------------------------------
  const dark = () => root.dataset.theme
    ? root.dataset.theme === "dark"
    : matchMedia("(prefers-color-scheme: dark)").matches;
  document.getElementById("theme").addEventListener("click", () => {
    root.dataset.theme = dark() ? "light" : "dark";
    try { localStorage.setItem("observer-theme", root.dataset.theme); } catch { /* not kept */ }
    charts.forEach((chart) => chart.redraw());
  });

  // -- where one is, in a menu that is wider than a phone ----------------------------------------
  const menu = document.querySelector(".menu");
  const current = menu.querySelector("[aria-current]");
  if (current) menu.scrollLeft = current.offsetLeft - (menu.clientWidth - current.offsetWidth) / 2;

  // -- keys ------------------------------------------------------------------------------------
  addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey) return;
    if (/^(INPUT|TEXTAREA|SELECT)$/.test(document.activeElement.tagName)) return;
    event.preventDefault();
    document.getElementById("q").focus();
  });

  // -- filters ---------------------------------------------------------------------------------
  document.querySelectorAll("form[data-auto]").forEach((form) => {
    form.addEventListener("change", () => form.requestSubmit());
    form.addEventListener("submit", () => {
      form.querySelectorAll("input, select").forEach((field) => { field.disabled = !field.value; });
      setTimeout(() => form.querySelectorAll(":disabled").forEach((field) => { field.disabled = false; }));
    });
  });

  // -- the stream ------------------------------------------------------------------------------
  const link = document.getElementById("link");
  let quiet = 0;
  const say = (state, text) => {
    clearTimeout(quiet);
    if (link.dataset.state === state) return;
    link.dataset.state = state;
    link.querySelector("span").textContent = text;
  };
  if (document.getElementById("live")) say("begun", "connecting");
  document.addEventListener("htmx:sse:after:connection", () => say("on", "live"));
  // A stream ends now and then and is opened anew; that is only said when it takes long.
  const lost = () => { clearTimeout(quiet); quiet = setTimeout(() => say("off", "reconnecting"), 3000); };
  document.addEventListener("htmx:sse:before:connection", lost);
  document.addEventListener("htmx:sse:error", lost);
  document.addEventListener("htmx:sse:close", lost);

  // -- charts ----------------------------------------------------------------------------------
  const colour = (name) => getComputedStyle(root).getPropertyValue(name).trim();
  const charts = [];
  const draw = (element) => {
    const axis = { stroke: () => colour("--dim"), grid: { stroke: () => colour("--line"), width: 1 }, ticks: { show: false }, font: "11px system-ui, sans-serif" };
    const size = () => ({ width: element.clientWidth, height: element.clientHeight });
    const plot = new uPlot({
      ...size(),
      cursor: { y: false, points: { size: 6 } },
      legend: { show: false },
      padding: [8, 8, 0, 0],
      scales: { x: { range: (u, min) => { const last = u.data[0].at(-1) ?? Date.now() / 1e3; return [Math.min(min ?? last, last - 60), last]; } }, y: { range: (_u, _min, max) => [0, Math.max(max * 1.15, 1)] } },
      axes: [
        { ...axis, size: 24, space: 90, values: (_u, all) => all.map((v) => new Date(v * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false })) },
        { ...axis, size: 48, space: 34, values: (_u, all) => all.map((v) => v >= 1e6 ? `${v / 1e6}M` : v >= 1e3 ? `${v / 1e3}k` : `${+v.toFixed(2)}`) },
      ],
      series: [{}, { label: element.dataset.label, width: 1.5, stroke: () => colour("--accent"), fill: () => colour("--wash"), points: { show: false } }],
    }, [[], []], element);
    new ResizeObserver(() => plot.setSize(size())).observe(element);
    return plot;
  };
  // The last minutes, and nothing where no samples were taken because nobody looked.
  const lately = (times, all) => {
    const shown = [[], []];
    const from = (times.at(-1) ?? 0) - 300;
    times.forEach((at, n) => {
      if (at < from) return;
      if (at - (shown[0].at(-1) ?? at) > 5) { shown[0].push(at - 1); shown[1].push(null); }
      shown[0].push(at);
      shown[1].push(all[n]);
    });
    return shown;
  };
  const elements = [...document.querySelectorAll(".chart")];
  if (elements.length) {
    elements.forEach((element) => charts.push(draw(element)));
    const refresh = async () => {
      if (!document.hidden) {
        try {
          const answer = await fetch(`${base}/api/series`);
          if (answer.ok) {
            const data = await answer.json();
            elements.forEach((element, n) => charts[n].setData(lately(data.times, data[element.dataset.series])));
          }
        } catch { /* the stream says that the connection is lost */ }
      }
      setTimeout(refresh, 1000);
    };
    refresh();
  }
})();
