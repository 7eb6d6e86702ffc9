// Both sides of the picture, unless it has more pixels than fit a browser's memory.
function sides(width, height) {
  const scale = Math.min(1, Math.sqrt(description.mostPixels / (width * height)));
  return [width, height].map((side) => Math.max(1, Math.floor(side * scale)));
}

// The pixels of a file, at the size at which it is translated.
async function read(file) {
  const bitmap = await createImageBitmap(file, { premultiplyAlpha: "none", colorSpaceConversion: "none" })
    .catch(() => { throw new Error(`the browser cannot read ${file.name} as a picture`); });
  const [width, height] = sides(bitmap.width, bitmap.height);
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, width, height);
  return { image: context.getImageData(0, 0, width, height), from: [bitmap.width, bitmap.height] };
}

async function translate(image, model) {
  const { width, height, data: seen } = image;
  // The model takes multiples of its step: the last row and column go on until there, and what they become is cut off.
  const [wide, high] = [width, height].map((side) => Math.ceil(side / model.step) * model.step);
  const channels = model.channels_in;
  const data = new Uint8Array(high * wide * channels);
  for (let i = 0; i < high * wide; i++) {
    const at = Math.min(Math.floor(i / wide), height - 1) * width + Math.min(i % wide, width - 1);
    let values = seen.subarray(4 * at, 4 * at + 4);
    if (channels < 4 && values[3] === 0) values = [255, 255, 255]; // nothing can be seen there
    if (channels === 1) values = [(values[0] * 19595 + values[1] * 38470 + values[2] * 7471 + 0x8000) >>> 16];
    for (let c = 0; c < channels; c++) data[i * channels + c] = values[c];
  }
  const inputs = { images: { type: "uint8", data, dims: [1, high, wide, channels] } };
  const translated = await ask("run", { name: model.name, inputs, output: model.output });
  const made = new Uint8Array(height * width * model.channels_out);
  for (let y = 0; y < height; y++) {
    const start = y * wide * model.channels_out;
    made.set(translated.data.subarray(start, start + width * model.channels_out), y * width * model.channels_out);
  }
  return pixels(made, height, width, model.channels_out, seen);
}

async function link(image) {
  const canvas = new OffscreenCanvas(image.width, image.height);
  canvas.getContext("2d").putImageData(image, 0, 0);
  return URL.createObjectURL(await canvas.convertToBlob());
}

// A picture and its translation, one over the other, with a slider between them.
async function show(file, before, after, model) {
  const figure = document.importNode(element("pair").content, true).firstElementChild;
  const [compare, download] = [figure.querySelector(".compare"), figure.querySelector("a")];
  figure.querySelector("figcaption").textContent = file.name;
  for (const [name, image] of Object.entries({ before, after })) {
    const shown = figure.querySelector(`.${name}`);
    shown.src = await link(image);
    shown.classList.toggle("small", image.width <= 256);
    await shown.decode();
  }
  figure.querySelector(".before").alt = `${file.name}, before`;
  figure.querySelector(".after").alt = `${file.name}, translated ${model.title}`;
  const slider = figure.querySelector("input");
  slider.ariaLabel = `Compare ${file.name}: how much of the picture covers its translation`;
  slider.addEventListener("input", ({ target }) => compare.style.setProperty("--at", `${target.value}%`));
  download.href = figure.querySelector(".after").src;
  download.download = `${file.name.replace(/\.[^.]*$/, "")} ${model.title}.png`;
  download.ariaLabel = `Download as PNG: ${download.download}`;
  element("pairs").append(figure);
}

let chosen = [];
async function translateAll() {
  if (!chosen.length) return "Choose pictures first, or drop them here.";
  for (const shown of element("pairs").querySelectorAll("img")) URL.revokeObjectURL(shown.src);
  element("pairs").replaceChildren();
  const model = description.models.find(({ name }) => name === element("direction").value);
  const [done, wrong] = [[], []];
  for (const [number, file] of chosen.entries()) {
    if (chosen.length > 1) status.textContent = `Translating ${number + 1} of ${chosen.length}.`;
    try {
      const { image, from } = await read(file);
      await show(file, image, await translate(image, model), model);
      const scaled = image.width === from[0] && image.height === from[1] ? "" : `, scaled from ${from.join(" x ")}`;
      done.push(`at ${image.width} x ${image.height} pixels${scaled}`);
    } catch (error) {
      wrong.push(`This did not work: ${error.message}`);
    }
  }
  const said = chosen.length === 1 ? done.map((how) => `Translated ${model.title} ${how}`) : [`Translated ${done.length} of ${chosen.length} pictures ${model.title}`];
  return [...said, ...wrong].join(". ");
}
const start = () => busy("Translating.", translateAll);
function choose(files) {
  if (!files.length) return;
  chosen = [...files];
  if (!buttons[0].disabled) start();
}
form.addEventListener("submit", (event) => {
  event.preventDefault();
  start();
});
element("pictures").addEventListener("change", ({ target }) => choose(target.files));
document.addEventListener("dragover", (event) => event.preventDefault());
document.addEventListener("drop", (event) => {
  event.preventDefault();
  choose(event.dataTransfer.files);
});
busy("Loading the model.", async () => {
  await load();
  return translateAll();
});
