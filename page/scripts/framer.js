// A square over the photograph, to be laid around a face by hand: dragged and pulled at its corner
// with mouse or finger, or moved with the arrow keys and sized with + and -.
const picture = element.querySelector(".photo");
const square = element.querySelector(".square");
let left = 0, top = 0, side = 1;  // in pixels of the photograph

const clamp = (value, low, high) => Math.min(Math.max(value, low), Math.max(low, high));
const draw = () => {
    const { width, height } = props.value;
    side = clamp(side, Math.min(16, width, height), Math.min(width, height));
    left = clamp(left, 0, width - side);
    top = clamp(top, 0, height - side);
    square.style.left = `${100 * left / width}%`;
    square.style.top = `${100 * top / height}%`;
    square.style.width = `${100 * side / width}%`;
    square.style.height = `${100 * side / height}%`;
};
const show = () => {
    if (!props.value?.source) return;
    const { width, height, source } = props.value;
    picture.style.backgroundImage = `url("${source}")`;
    picture.style.aspectRatio = `${width} / ${height}`;
    side = Math.min(width, height) / 2;
    [left, top] = [(width - side) / 2, (height - side) / 3];
    draw();
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    element.scrollIntoView({ block: "nearest", behavior: still ? "auto" : "smooth" });
};
watch("value", show);
show();  // it may come to the page with its first photograph
let held = null;  // by which pointer: a second finger does not take the frame from the first
square.addEventListener("pointerdown", (event) => {
    if (held !== null) return;
    held = event.pointerId;
    const pulled = event.target.matches(".corner");
    const scale = props.value.width / picture.clientWidth;
    let [x, y] = [event.clientX, event.clientY];
    square.setPointerCapture(held);
    const follow = (event) => {
        if (event.pointerId !== held) return;
        const [dx, dy] = [(event.clientX - x) * scale, (event.clientY - y) * scale];
        [x, y] = [event.clientX, event.clientY];
        if (pulled) side += (dx + dy) / 2;
        else [left, top] = [left + dx, top + dy];
        draw();
    };
    const end = (event) => {
        if (event.pointerId !== held) return;
        held = null;
        square.removeEventListener("pointermove", follow);
        square.removeEventListener("lostpointercapture", end);
    };
    square.addEventListener("pointermove", follow);
    square.addEventListener("lostpointercapture", end);
});
square.addEventListener("keydown", (event) => {
    const step = Math.max(props.value.width, props.value.height) / (event.shiftKey ? 200 : 50);
    const moves = {
        ArrowLeft: () => { left -= step; }, ArrowRight: () => { left += step; },
        ArrowUp: () => { top -= step; }, ArrowDown: () => { top += step; },
        "+": () => { side += step; }, "-": () => { side -= step; },
    };
    const move = moves[event.key === "=" ? "+" : event.key === "_" ? "-" : event.key];
    if (!move) return;
    event.preventDefault();
    move();
    draw();
});
const [use, leave] = element.querySelectorAll("button");
use.addEventListener("click", () =>
    trigger("click", { box: [left, top, left + side, top + side] }));
leave.addEventListener("click", () => trigger("click", { box: null }));
