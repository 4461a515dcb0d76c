const table = document.querySelector("table"), body = table.tBodies[0], rows = [...body.rows];
const words = document.querySelector("#words"), verdict = document.querySelector("#verdict");
const paper = document.querySelector("#paper"), count = document.querySelector("#count");
function show() {
  const asked = words.value.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  for (const row of rows) {
    const text = row.textContent.toLowerCase();
    const fits = asked.every(word => text.includes(word))
      && (!verdict.value || row.dataset.verdict === verdict.value)
      && (!paper.value || row.dataset.papers.split(";").includes(paper.value));
    row.hidden = !fits;
    shown += fits;
  }
  count.textContent = shown + " of " + rows.length + " claims";
}
function sort(head, place) {
  const down = head.getAttribute("aria-sort") === "ascending";
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", down ? "descending" : "ascending");
  const key = row => row.cells[place].dataset.key;
  const order = (a, b) => {
    const [x, y] = [key(a), key(b)], numbers = x !== "" && y !== "" && !isNaN(x) && !isNaN(y);
    const sign = numbers ? x - y : x.localeCompare(y, undefined, { numeric: true });
    return down ? -sign : sign;
  };
  body.append(...rows.sort(order));
}
for (const each of [words, verdict, paper]) each.addEventListener("input", show);
[...table.tHead.rows[0].cells].forEach((head, place) => {
  const button = head.querySelector("button");
  if (button) button.addEventListener("click", () => sort(head, place));
});
document.querySelector(".ask").hidden = false;
show();
