// The live picture: it follows every slider in its tab.
//
// It asks the server itself, one small request a frame, since Gradio's events cost several times a
// decode. One request is under way at a time, and the last position always gets its turn. The
// <img> stays and only its source changes, so nothing flickers.
const image = element.querySelector("img");
const scope = element.closest(".tabitem");
const stage = element.closest(".block");
let picture = "", asked = "", waiting = false;

const chosen = (selector) => scope.querySelector(`${selector} [aria-checked=true]`)?.value;
const wish = () => ({
    key: props.value.key,
    view: chosen("#view"),
    hold: [...scope.querySelectorAll("#hold input:checked")].map((tick) => tick.name),
    sliders: Object.fromEntries([...scope.querySelectorAll("[id^=slider-]")].map((slider) =>
        [slider.id.slice(7), Number(slider.querySelector("[type=range]").value)])),
});
const frame = async (text) => {
    // The route knows the pictures of the first page; another model's page asks through Gradio.
    if (window.gradio_config?.current_page) return server.draw(JSON.parse(text));
    const root = window.gradio_config?.root ?? "";
    const answer = await fetch(`${root}/frame/${stage.id}`, { method: "POST", body: text });
    return answer.ok ? answer.text() : server.draw(JSON.parse(text));
};
const showView = () => {
    stage.dataset.view = chosen("#view") ?? "";
    compare();
};
const look = async () => {
    if (waiting || !props.value?.key) return;
    const text = JSON.stringify(wish());
    if (text === asked) return;
    asked = text;
    waiting = true;
    if (stage.dataset.view !== (chosen("#view") ?? "")) showView();
    try {
        picture = await frame(text);
        if (picture) image.src = picture;
        image.hidden = !picture;
    } catch { /* the server is gone; the next move asks again */ }
    waiting = false;
    look();
};
// A drag is noticed at once. Typed numbers and resets of any kind are no events of the range's,
// but Gradio writes each new position into its style, and each choice into a class or aria-checked.
scope.addEventListener("input", look);
new MutationObserver(look).observe(
    scope, { subtree: true, attributeFilter: ["style", "aria-checked"] });
for (const hold of scope.querySelectorAll("#hold"))
    new MutationObserver(look).observe(hold, { subtree: true, attributeFilter: ["class"] });
watch("value", look);

// A typed number becomes what its slider made of it once the field is left: 7 is 3.
scope.addEventListener("change", ({ target }) => {
    const slider = target.matches("[type=number]") && target.closest("[id^=slider-]");
    if (!slider) return;
    target.value = slider.querySelector("[type=range]").value;
    target.dispatchEvent(new Event("input", { bubbles: true }));
});

// A finger that is about to scroll moves the slider it begins on; that is taken back.
let touched = null, stood = "";
scope.addEventListener("pointerdown", ({ target, pointerType }) => {
    touched = pointerType === "touch" && target.matches("[type=range]") ? target : null;
    stood = target.value;
});
scope.addEventListener("pointercancel", ({ target }) => {
    if (target === touched && target.value !== stood) put(target, stood);
});

// Press and hold: the face as it was.
const original = () => props.value?.before?.[chosen("#view")] ?? props.value?.before?.Face;
image.addEventListener("pointerdown", () => { if (original()) image.src = original(); });
for (const end of ["pointerup", "pointerleave", "pointercancel"])
    image.addEventListener(end, () => { if (picture) image.src = picture; });
image.addEventListener("contextmenu", (event) => event.preventDefault());

// Wipe: the face as it was on the left of a line that moves. The tools switch it.
const figure = element.querySelector("figure");
const wipe = figure.querySelector("input");
const compare = () => {
    const before = stage.classList.contains("compared") && original();
    figure.style.setProperty("--before", before ? `url("${before}")` : "none");
    wipe.disabled = !before;
};
const slide = () => figure.style.setProperty("--wipe", `${wipe.value}%`);
wipe.addEventListener("input", (event) => { event.stopPropagation(); slide(); });
stage.addEventListener("compare", compare);
watch("value", () => {
    // The tools keep a history for each face, and begin it here.
    stage.dataset.start = JSON.stringify(props.value?.start ?? {});
    stage.dataset.photograph = props.value?.photograph ?? "";
    stage.dataset.face = props.value?.face ?? "";
    showView();
});
