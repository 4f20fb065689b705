for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0], headings = [...table.tHead.rows[0].cells];
  const orderOf = (row, column) => {
    const cell = row.cells[column], text = cell.dataset.order ?? cell.textContent;
    if (!headings[column].classList.contains("number")) return text;
    const number = parseFloat(text.replaceAll(",", ""));
    return Number.isNaN(number) ? null : number;
  };
  headings.forEach((heading, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => {
      const isNumber = heading.classList.contains("number"), before = heading.getAttribute("aria-sort");
      const descends = before ? before === "ascending" : isNumber;
      headings.forEach((other) => other.removeAttribute("aria-sort"));
      heading.setAttribute("aria-sort", descends ? "descending" : "ascending");
      const keyed = [...body.rows].map((row) => [orderOf(row, column), row]);
      keyed.sort(([a], [b]) => {
        if (a === null || b === null) return (a === null) - (b === null);
        const difference = isNumber ? a - b : a.localeCompare(b, undefined, { numeric: true });
        return descends ? -difference : difference;
      });
      body.append(...keyed.map(([, row]) => row));
    });
  });
}
