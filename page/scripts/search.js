// Hides the sliders whose names, and whose group's name, do not hold what was typed, nor have
// another word that begins so, and opens the groups of the others.
const field = element.querySelector("input");
const rail = element.closest("#rail");
const scope = element.closest(".tabitem");
const count = Object.keys(props.value).length;
element.hidden = count === 0;

// Groups come open, since Gradio puts nothing of a closed one on the page, and the live picture
// reads its sliders there. Once all are there, all but the first are closed.
const folded = () => [...rail.querySelectorAll(".group, .holding")].slice(1)
    .concat([...scope.querySelectorAll("#more")]);
const arrived = new MutationObserver(() => {
    const ticks = scope.querySelectorAll("#hold input").length;
    if (ticks < count || !scope.querySelector("#slider-softness")) return;
    arrived.disconnect();
    for (const [name, { hint }] of Object.entries(props.value)) {
        const slider = rail.querySelector(`#slider-${CSS.escape(name)}`);
        slider.title = hint;
        slider.querySelector("[type=range]").ariaDescription = hint;
    }
    for (const group of folded()) group.querySelector(".label-wrap.open")?.click();
    scope.querySelector("#edit").classList.add("ready");
});
arrived.observe(scope, { subtree: true, childList: true });

field.addEventListener("input", (event) => {
    event.stopPropagation();
    const wanted = field.value.trim().toLowerCase();
    let some = false;
    for (const group of rail.querySelectorAll(".group")) {
        const head = group.querySelector(".label-wrap");
        const whole = head.textContent.toLowerCase().includes(wanted);
        let found = false;
        for (const slider of group.querySelectorAll("[id^=slider-]")) {
            const named = slider.querySelector("label, .head span")?.textContent.toLowerCase();
            const words = props.value[slider.id.slice(7)].words.split(", ");
            slider.hidden = !whole && !named?.includes(wanted)
                && !words.some((word) => word.startsWith(wanted));
            found ||= !slider.hidden;
        }
        group.hidden = !found;
        some ||= found;
        if (wanted && found && !head.classList.contains("open")) head.click();
    }
    element.querySelector("p").hidden = some;
});
field.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !field.value) return;
    field.value = "";
    field.dispatchEvent(new Event("input"));
});
