// SPDX-License-Identifier: Apache-2.0
// Draws the figures of the page in the colours of its style sheet, again when these change.
(function () {
  "use strict";
  const figures = JSON.parse(document.getElementById("figures").textContent);
  const config = { displayModeBar: false, responsive: true, scrollZoom: false };

  function coloured(value, style) {
    if (typeof value === "string") {
      return value.replace(/--[a-z]+(?:-2)?\b/g, (name) => style.getPropertyValue(name).trim() || name);
    }
    if (Array.isArray(value)) {
      return value.map((one) => coloured(one, style));
    }
    if (value && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, coloured(one, style)]));
    }
    return value;
  }

  function axis(given) {
    const own = {
      gridcolor: "--grid", linecolor: "--rule", zeroline: false, fixedrange: true,
      automargin: true, tickfont: { color: "--muted" }, ticks: "", minor: { ticks: "" },
    };
    if (given.type === "log" && !given.tickvals) {
      own.dtick = "D2";
      own.tickformat = "~g";
      own.nticks = 8;
    }
    const made = { ...own, ...given };
    made.title = { ...(given.title || {}), font: { color: "--muted", size: 12 } };
    return made;
  }

  function layout(figure) {
    const made = {
      height: figure.height, margin: { l: 56, r: 64, t: 12, b: 44 }, showlegend: false,
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", dragmode: false,
      font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: "--text" },
      hoverlabel: { bgcolor: "--card", bordercolor: "--rule", font: { color: "--text" } },
      hovermode: "closest", ...figure.layout,
    };
    for (const name of Object.keys(made)) {
      if (/^[xy]axis\d?$/.test(name)) {
        made[name] = axis(made[name]);
      }
    }
    return made;
  }

  function draw() {
    const style = getComputedStyle(document.documentElement);
    for (const figure of figures) {
      const place = document.getElementById("plot-" + figure.id);
      Plotly.react(place, coloured(figure.data, style), coloured(layout(figure), style), config);
    }
  }

  draw();
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  window.matchMedia("print").addEventListener("change", draw);
  document.documentElement.dataset.drawn = String(figures.length);
})();
