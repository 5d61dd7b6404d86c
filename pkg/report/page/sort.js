"use strict";
// On paper nobody opens a table: all of them are open while the page is printed.
const opened = [];
addEventListener("beforeprint", () => {
  for (const details of document.querySelectorAll("details:not([open])")) {
    details.open = true;
    opened.push(details);
  }
});
addEventListener("afterprint", () => {
  for (const details of opened.splice(0)) details.open = false;
});
// Sorts a table by the column whose head is activated; again, the other way round.
document.querySelectorAll("table[data-sortable] thead th").forEach((head) => {
  const button = document.createElement("button");
  button.type = "button";
  button.append(...head.childNodes);
  head.append(button);
  button.addEventListener("click", () => {
    const table = head.closest("table");
    const body = table.tBodies[0];
    const at = head.cellIndex;
    const up = head.getAttribute("aria-sort") !== "ascending";
    const value = (row) => {
      const cell = row.cells[at];
      return cell.dataset.value === undefined ? cell.textContent : Number(cell.dataset.value);
    };
    const rows = Array.from(body.rows, (row) => [value(row), row]);
    const words = new Intl.Collator(document.documentElement.lang, { numeric: true });
    rows.sort(([a], [b]) => (typeof a === "number" && typeof b === "number" ? a - b : words.compare(String(a), String(b))));
    if (!up) rows.reverse();
    body.append(...rows.map(([, row]) => row));
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
  });
});
