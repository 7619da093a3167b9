"use strict";
// The table of connections, and the charts. All that comes from the capture is set as text, never as HTML.
(() => {
  const table = JSON.parse(document.getElementById("connections-data").textContent);
  const body = document.querySelector("#all tbody");
  const search = document.getElementById("search");
  const outcome = document.getElementById("outcome");
  const count = document.getElementById("count");
  const more = document.getElementById("more");
  const PAGE = 100;
  const texts = table.rows.map((row) => row.join(" ").toLowerCase());
  let order = table.rows.map((_, index) => index);
  let found = order;
  let shown = 0;

  const openConnection = (conn) => {
    const details = document.getElementById(`conn-${conn}`);
    if (details === null) return false;
    details.open = true;
    details.scrollIntoView({ block: "start" });
    details.querySelector("summary").focus({ preventScroll: true });
    return true;
  };

  const explainRow = (line, row, index) => {
    if (line.nextSibling && line.nextSibling.className === "about") return line.nextSibling.remove();
    const about = document.createElement("tr");
    about.className = "about";
    const command = document.createElement("code");
    command.textContent = `${table.command} --conn ${row[0]}`;
    const cell = about.insertCell();
    cell.colSpan = table.columns.length;
    cell.className = "wrap";
    cell.append(table.diagnoses[index], document.createElement("br"), table.note, " ", command);
    line.after(about);
  };

  const activate = (line, index) =>
    openConnection(table.rows[index][0]) || explainRow(line, table.rows[index], index);

  const drawRow = (index) => {
    const row = table.rows[index];
    const line = body.insertRow();
    line.tabIndex = 0;
    row.forEach((value, place) => {
      const cell = line.insertCell();
      cell.textContent = value;
      if (typeof value === "number") cell.className = "number";
      if (table.columns[place] === "outcome") cell.className = table.severities[index];
    });
    line.addEventListener("click", () => activate(line, index));
    line.addEventListener("keydown", (event) => event.key === "Enter" && activate(line, index));
  };

  const drawMore = () => {
    found.slice(shown, shown + PAGE).forEach(drawRow);
    shown = Math.min(shown + PAGE, found.length);
    count.textContent = `${shown.toLocaleString("en")} of ${found.length.toLocaleString("en")}`;
    more.hidden = shown === found.length;
  };

  const filter = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const place = table.columns.indexOf("outcome");
    found = order.filter((index) =>
      (!outcome.value || table.rows[index][place] === outcome.value) &&
      words.every((word) => texts[index].includes(word)));
    body.replaceChildren();
    shown = 0;
    drawMore();
  };

  const sortBy = (place, heading) => {
    const down = heading.ariaSort === "ascending";
    document.querySelectorAll("#all th").forEach((other) => other.removeAttribute("aria-sort"));
    heading.ariaSort = down ? "descending" : "ascending";
    const compare = (a, b) => (a < b ? -1 : a > b ? 1 : 0);
    order.sort((a, b) => (down ? -1 : 1) * compare(table.rows[a][place], table.rows[b][place]) || a - b);
    filter();
  };

  document.querySelectorAll("#all th").forEach((heading, place) => {
    heading.addEventListener("click", () => sortBy(place, heading));
    heading.addEventListener("keydown", (event) => event.key === "Enter" && sortBy(place, heading));
  });
  search.addEventListener("input", filter);
  outcome.addEventListener("change", filter);
  more.addEventListener("click", drawMore);
  document.querySelectorAll("a[data-conn]").forEach((link) => link.addEventListener("click", (event) => {
    if (openConnection(link.dataset.conn)) event.preventDefault();
  }));
  // Paper cannot be clicked: all is opened for it, and closed again afterwards
  let opened = [];
  addEventListener("beforeprint", () => {
    opened = [...document.querySelectorAll("details:not([open], .rest)")];
    opened.forEach((one) => { one.open = true; });
  });
  addEventListener("afterprint", () => opened.forEach((one) => { one.open = false; }));
  filter();
  if (location.hash.startsWith("#conn-")) openConnection(location.hash.slice(6));
})();

// Charts last: they need the large library, and the page can be read without them.
addEventListener("load", () => {
  const charts = JSON.parse(document.getElementById("charts-data").textContent);
  // No button that would send the chart elsewhere; and a finger on a chart scrolls the page
  const buttons = [["toImage"], ["zoom2d", "pan2d", "resetScale2d"]];
  const config = { responsive: true, displaylogo: false, showSendToCloud: false, modeBarButtons: buttons };
  const dragmode = matchMedia("(pointer: coarse)").matches ? false : "zoom";
  const PAPER = 680; // pixels: A4 and Letter have room for it
  const draw = (width) => {
    const style = getComputedStyle(document.body);
    const [line, card] = ["--line", "--card"].map((name) => style.getPropertyValue(name));
    const font = { color: style.color, family: style.fontFamily };
    const hoverlabel = { bgcolor: card, bordercolor: line, font };
    for (const [name, chart] of Object.entries(charts)) {
      const layout = { ...chart.layout, width, font, hoverlabel, dragmode };
      const room = (width || document.getElementById(`chart-${name}`).clientWidth) / 80;
      for (const axis of ["xaxis", "yaxis"]) layout[axis] = { ...layout[axis], gridcolor: line };
      layout.xaxis.nticks = Math.max(3, Math.min(9, Math.floor(room)));
      Plotly.react(`chart-${name}`, chart.data, layout, config);
    }
  };
  draw();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => draw());
  addEventListener("beforeprint", () => draw(PAPER));
  addEventListener("afterprint", () => draw());
});
