// Moves a slider as a hand would, so that Gradio and the live picture notice.
const put = (range, value) => {
    range.value = value;
    for (const kind of ["input", "change"])
        range.dispatchEvent(new Event(kind, { bubbles: true }));
};
