// gr.HTML provides `element`, which persists while the timeline inside it is replaced.
const video = () => document.querySelector("#overlay video");
const timeline = () => element.querySelector(".timeline");
let shown = null, series = null, last = null;

function rowAt(time) {
  let low = 0, high = series.times.length;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (series.times[middle] <= time + 1e-3) low = middle; else high = middle;
  }
  return low;
}

function follow() {
  if (!element.isConnected) return;
  requestAnimationFrame(follow);
  const root = timeline(), player = video();
  if (!root) return;
  if (root !== shown) {
    shown = root;
    series = JSON.parse(root.dataset.series);
    last = null;
  }
  const time = player ? player.currentTime : 0;
  if (time === last) return;
  last = time;
  const end = Number(root.dataset.end);
  root.style.setProperty("--at", `${(Math.min(time / end, 1) * 100).toFixed(3)}%`);
  const row = series.probs[rowAt(time)];
  root.querySelectorAll("output").forEach((output, au) => {
    output.textContent = row[au] === null ? "–" : row[au].toFixed(2);
  });
  const axis = root.querySelector(".axis");
  axis.setAttribute("aria-valuenow", time.toFixed(2));
  axis.setAttribute("aria-valuetext", `${time.toFixed(2)} seconds`);
}

function seek(time) {
  const player = video(), end = Number(timeline().dataset.end);
  if (player) player.currentTime = Math.max(0, Math.min(time, end - 1e-3));
}

function seekTo(event, plot) {
  const box = plot.getBoundingClientRect();
  seek((event.clientX - box.left) / box.width * Number(timeline().dataset.end));
}

let dragged = null;
element.addEventListener("pointerdown", (event) => {
  dragged = event.target.closest(".plot");
  if (!dragged) return;
  dragged.setPointerCapture(event.pointerId);
  seekTo(event, dragged);
});
element.addEventListener("pointermove", (event) => { if (dragged) seekTo(event, dragged); });
for (const name of ["pointerup", "pointercancel"]) element.addEventListener(name, () => { dragged = null; });

element.addEventListener("keydown", (event) => {
  if (!event.target.closest(".axis")) return;
  const row = rowAt(video() ? video().currentTime : 0), times = series.times;
  const targets = {
    ArrowLeft: times[Math.max(row - 1, 0)],
    ArrowRight: times[Math.min(row + 1, times.length - 1)],
    Home: 0,
    End: times[times.length - 1],
  };
  if (!(event.key in targets)) return;
  event.preventDefault();
  seek(targets[event.key] + 2e-3);  // inside the frame, not on its edge
});

const show = (box) => box.closest(".lane").classList.toggle("hidden", !box.checked);
element.addEventListener("change", (event) => { if (event.target.matches("input")) show(event.target); });
element.addEventListener("click", (event) => {
  const all = event.target.dataset.show;
  if (!all) return;
  for (const box of element.querySelectorAll(".lane input")) {
    box.checked = all === "all";
    show(box);
  }
});

follow();
