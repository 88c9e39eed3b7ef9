// Undo, redo, reset, compare: what a person does to the sliders as a whole.
//
// Its value is where the sliders stand at first that do not begin at 0.
const scope = element.closest(".tabitem");
const stage = scope.querySelector(".block.live");
const [undo, redo, reset, compare] = element.querySelectorAll("button");
const REST = 350;  // milliseconds without a move after which a position counts as chosen

const sliders = () => [...scope.querySelectorAll("#rail [id^=slider-], #more [id^=slider-]")];
const ticks = () => [...scope.querySelectorAll("#hold input")];
const position = () => JSON.stringify({
    sliders: Object.fromEntries(sliders().map((slider) =>
        [slider.id, Number(slider.querySelector("[type=range]").value)])),
    hold: ticks().filter((tick) => tick.checked).map((tick) => tick.name),
});
const start = () => {  // as the server set them: they may have been moved before anyone looked
    const { sliders: places, hold, ...rest } = JSON.parse(stage.dataset.start);
    const known = { ...places, ...rest };
    return JSON.stringify({
        sliders: Object.fromEntries(sliders().map(({ id }) => [id, known[id.slice(7)] ?? 0])),
        hold: ticks().map((tick) => tick.name).filter((name) => hold.includes(name)),
    });
};
const plain = () => JSON.stringify({
    sliders: Object.fromEntries(
        sliders().map(({ id }) => [id, props.value[id.slice(7)] ?? 0])),
    hold: [],
});
const move = (text) => {
    const wanted = JSON.parse(text);
    for (const slider of sliders()) {
        const range = slider.querySelector("[type=range]");
        const place = wanted.sliders[slider.id] ?? 0;
        if (Number(range.value) !== place) put(range, place);
    }
    for (const tick of ticks())
        if (tick.checked !== wanted.hold.includes(tick.name)) tick.click();
};

let past = [], future = [], now = null, face = null, drawn = null, timer = 0;
// kept: where the sliders stood when this face was opened or last saved; behind: whether an edit of
// the photograph from before Apply, or of another of its faces, is not saved; saving: what is.
let photograph = null, kept = null, behind = false, saving = null;
const show = () => {
    undo.disabled = past.length === 0;
    redo.disabled = future.length === 0;
    reset.disabled = !face || now === plain();
    compare.disabled = !face;
};
const settle = () => {
    clearTimeout(timer);
    const here = position();
    const opened = stage.dataset.face || null;
    if (opened !== face) {
        behind = photograph === stage.dataset.photograph && (behind || now !== kept);
        [past, future, now, face] = [[], [], opened && start(), opened];
        [photograph, kept] = [stage.dataset.photograph, now];
    }
    if (face && here !== now) {
        past.push(now);
        future = [];
        now = here;
    }
    if (here !== drawn && scope.querySelector("#more .pictures button")) trigger("input");
    drawn = here;
    show();
};
const later = () => { clearTimeout(timer); timer = setTimeout(settle, REST); };
const step = (from, onto) => {
    settle();
    if (!from().length) return;
    onto().push(now);
    now = from().pop();
    move(now);
    show();
};
undo.addEventListener("click", () => step(() => past, () => future));
redo.addEventListener("click", () => step(() => future, () => past));
reset.addEventListener("click", () => {
    settle();
    move(plain());
    settle();
});
compare.addEventListener("click", () => {
    compare.ariaPressed = String(stage.classList.toggle("compared"));
    stage.dispatchEvent(new Event("compare"));
});
document.addEventListener("keydown", (event) => {
    if (!(event.ctrlKey || event.metaKey) || event.key.toLowerCase() !== "z") return;
    const typing = event.target.matches(
        "textarea, input:not([type=range]):not([type=checkbox]):not([type=radio])");
    if (typing || !scope.checkVisibility()) return;
    event.preventDefault();
    (event.shiftKey ? redo : undo).click();
});
// A photograph may be dropped anywhere; the browser would leave the page for it.
scope.addEventListener("dragover", (event) => event.preventDefault());
scope.addEventListener("drop", (event) => {
    const files = event.dataTransfer.files;
    if (event.target.closest(".upload") || !files.length) return;
    event.preventDefault();
    const field = scope.querySelector("#source .upload input[type=file]");
    field.files = files;
    field.dispatchEvent(new Event("change", { bubbles: true }));
});
// Whoever would leave an edit that is not saved is asked first; so is who only lost the server for
// a moment, after which Gradio loads the page anew.
scope.addEventListener("click", ({ target }) => {
    if (target.closest("button")) settle();  // what it does may come before the rest is over
    if (target.closest("#saves button")) saving = { face, now };
});
window.addEventListener("saved", () => {
    if (!saving || !scope.checkVisibility()) return;
    behind = false;
    if (saving.face === face) kept = saving.now;
});
window.addEventListener("beforeunload", (event) => {
    settle();
    if (behind || now !== kept) event.preventDefault();
});
scope.addEventListener("input", later);
new MutationObserver(later).observe(
    scope, { subtree: true, attributeFilter: ["style", "class", "data-face"] });
show();
