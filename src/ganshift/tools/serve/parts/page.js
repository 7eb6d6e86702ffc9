/* What the page's controls do: ask the server's HTTP API and show what comes back. Nothing else is contacted. */
const ganshift = (() => {
  const find = (id) => document.getElementById(id);
  const last = { generate: null, interpolate: null, translate: null }; // requests whose results are shown
  const running = {};
  let frames = [];
  let picture = null;

  function say(name, text, isError = false) {
    const status = find(`${name}-status`);
    status.textContent = text;
    status.classList.toggle("error", isError);
  }

  /* Ask, and give the response; an Error with the server's sentence if it refuses. */
  async function ask(address, body, type) {
    let response;
    try {
      response = await fetch(address, { method: "POST", body, headers: { "Content-Type": type } });
    } catch {
      throw new Error("The server does not answer.");
    }
    if (response.ok) return response;
    const answer = await response.json().catch(() => ({}));
    throw new Error(sentence(answer.error || `The server answered ${response.status}.`));
  }

  const sentence = (text) => text[0].toUpperCase() + text.slice(1) + (text.endsWith(".") ? "" : ".");
  const draw = (request, result) =>
    ask("api/generate", JSON.stringify({ ...request, result }), "application/json");
  const translation = (request, result) =>
    ask(`api/translate?${new URLSearchParams({ ...request.how, result })}`, request.picture, "application/octet-stream");

  /* Do what takes a while, telling so; of several begun, the last one alone is shown. */
  async function during(name, work) {
    const number = (running[name] = (running[name] || 0) + 1);
    const isLast = () => running[name] === number;
    say(name, "Working …");
    try {
      const text = await work(isLast);
      if (isLast()) say(name, text);
    } catch (error) {
      if (isLast()) say(name, error.message, true);
    }
  }

  function show(image, blob, alt) {
    if (image.src) URL.revokeObjectURL(image.src);
    image.src = URL.createObjectURL(blob);
    image.alt = alt;
    image.hidden = false;
    return image.src;
  }

  function offer(link, address, name) {
    link.href = address;
    link.download = name;
  }

  async function save(name, ask, file) {
    await during(name, async () => {
      const address = URL.createObjectURL(await (await ask()).blob());
      const link = document.createElement("a");
      offer(link, address, file);
      link.click();
      setTimeout(() => URL.revokeObjectURL(address), 10000);
      return `Downloaded ${file}.`;
    });
  }

  const png = (each) => new Blob([Uint8Array.from(atob(each.png), (one) => one.charCodeAt(0))], { type: "image/png" });
  const shared = (model, label, seed, truncation) => ({
    model,
    seed: seed ?? 0,
    ...(label ? { label } : {}),
    ...(truncation > 0 ? { truncation } : {}),
  });

  function generate(model, kind, label, seed, truncation, count, columns) {
    const request = { ...shared(model, label, seed, truncation), kind: kind.replace(" ", "-"), count };
    if (columns > 0 && kind === "images") request.columns = columns;
    if (kind !== "images") delete request.label;
    during("generate", async (isLast) => {
      const blob = await (await draw(request, "png")).blob();
      if (!isLast()) return "";
      const what = kind === "images" ? `${count} generated images` : `a grid of ${count} generated images of each class`;
      offer(find("generate-download"), show(find("generate-sheet"), blob, `Sheet of ${what}, seed ${request.seed}`), `${request.kind}.png`);
      find("generate-downloads").hidden = false;
      last.generate = request;
      return `Drawn: ${what}, seed ${request.seed}.`;
    });
  }

  function interpolate(model, label, seed, truncation, steps, way) {
    const request = { ...shared(model, label, seed, truncation), kind: "interpolation", count: 1, steps };
    during("interpolate", async (isLast) => {
      const answer = await (await draw(request, "json")).json();
      if (!isLast()) return "";
      frames = answer.pictures.map(png);
      last.interpolate = request;
      go(way);
      find("interpolate-downloads").hidden = false;
      return `Drawn: ${steps} steps from one picture of seed ${request.seed} to the next. Move the slider.`;
    });
  }

  /* Show the picture at so many per cent of the way. */
  function go(way) {
    if (!frames.length) return;
    const step = Math.round((way / 100) * (frames.length - 1));
    const image = find("interpolate-picture");
    const address = show(image, frames[step], `Step ${step + 1} of ${frames.length} between two generated pictures`);
    offer(find("interpolate-download"), address, `step-${step + 1}.png`);
  }

  function take(file) {
    if (!file || (file.type && !file.type.startsWith("image/"))) {
      say("upload", "That is no picture.", true);
      return;
    }
    picture = file;
    const preview = find("upload-preview");
    preview.onerror = () => (preview.hidden = true); // browsers do not know all that the server reads, such as TIFF
    show(preview, file, "The picture to translate");
    say("upload", `${file.name || "Pasted picture"}, ${(file.size / 1e6).toFixed(2)} MB.`);
  }

  async function paste() {
    try {
      for (const item of await navigator.clipboard.read()) {
        const type = item.types.find((each) => each.startsWith("image/"));
        if (type) {
          take(new File([await item.getType(type)], "clipboard", { type }));
          return;
        }
      }
      say("upload", "There is no picture in the clipboard.", true);
    } catch {
      say("upload", "The browser does not let this page read the clipboard: press Ctrl-V, or choose a file.", true);
    }
  }

  function translate(model, to, roundtrip, training_size) {
    if (!picture) {
      say("translate", "Choose a picture first.", true);
      return;
    }
    const request = { how: { model, to, roundtrip, training_size }, picture };
    during("translate", async (isLast) => {
      const answer = await (await translation(request, "json")).json();
      if (!isLast()) return "";
      const captions = ["Its translation", "And back"];
      find("translate-figures").querySelectorAll("img").forEach((image) => URL.revokeObjectURL(image.src));
      find("translate-figures").replaceChildren(
        ...answer.pictures.map((each, number) => figure(each, captions[number]))
      );
      find("translate-downloads").hidden = false;
      last.translate = request;
      const apart = answer.distance === null ? "" : ` The way back ends ${answer.distance.toFixed(3)} from the picture, on average, of at most 2.`;
      return `Translated from ${answer.direction}.${apart}`;
    });
  }

  function figure(each, caption) {
    const parts = ["figure", "img", "figcaption", "a"].map((name) => document.createElement(name));
    const [whole, image, text, link] = parts;
    text.textContent = caption;
    offer(link, show(image, png(each), caption), each.name);
    link.textContent = `Download ${each.name}`;
    whole.append(image, text, link);
    return whole;
  }

  const actions = {
    "generate-zip": () => save("generate", () => draw(last.generate, "zip"), "images.zip"),
    "interpolate-strip": () => save("interpolate", () => draw(last.interpolate, "png"), "strip.png"),
    "interpolate-zip": () => save("interpolate", () => draw(last.interpolate, "zip"), "interpolation.zip"),
    "translate-zip": () => save("translate", () => translation(last.translate, "zip"), "translation.zip"),
    paste,
  };

  /* Gradio makes and remakes the elements, so that the document listens for them. */
  const zone = (event) => event.target.closest?.("#upload");
  document.addEventListener("click", (event) => actions[event.target.closest?.("[data-ganshift]")?.dataset.ganshift]?.());
  document.addEventListener("change", (event) => {
    if (event.target.id === "upload-file" && event.target.files.length) take(event.target.files[0]);
  });
  document.addEventListener("paste", (event) => {
    const file = [...(event.clipboardData?.files || [])].find((each) => each.type.startsWith("image/"));
    if (file && find("upload")?.offsetParent) take(file);
  });
  for (const name of ["dragover", "dragleave", "drop"]) {
    document.addEventListener(name, (event) => {
      const upload = zone(event);
      if (!upload) return;
      event.preventDefault();
      upload.classList.toggle("over", name === "dragover");
      if (name === "drop") take(event.dataTransfer.files[0]);
    });
  }
  return { generate, interpolate, go, translate };
})();
window.ganshift = ganshift;
