const result = element("result");
async function show() {
  result.classList.toggle("small", result.width <= 512);
  result.parentElement.hidden = false;
  const link = element("download");
  const picture = await new Promise((resolve) => result.toBlob(resolve));
  if (link.href) URL.revokeObjectURL(link.href);
  link.href = URL.createObjectURL(picture);
}

// PyTorch's generator of random numbers, so that a seed gives the pictures that ganshift generate draws for it.
class Twister {
  constructor(seed) {
    this.state = new Uint32Array(624);
    this.state[0] = seed;
    for (let i = 1; i < 624; i++) {
      const before = this.state[i - 1];
      this.state[i] = Math.imul(1812433253, before ^ (before >>> 30)) + i;
    }
    this.place = 624;
  }
  word() {
    const state = this.state;
    if (this.place === 624) {
      for (let i = 0; i < 624; i++) {
        const mixed = (state[i] & 0x80000000) | (state[(i + 1) % 624] & 0x7fffffff);
        state[i] = state[(i + 397) % 624] ^ (mixed >>> 1) ^ (mixed & 1 ? 0x9908b0df : 0);
      }
      this.place = 0;
    }
    let word = state[this.place++];
    word ^= word >>> 11;
    word ^= (word << 7) & 0x9d2c5680;
    word ^= (word << 15) & 0xefc60000;
    return (word ^ (word >>> 18)) >>> 0;
  }
  uniform() { return (this.word() & 0xffffff) / 2 ** 24; }
  uniformDouble() {
    const high = this.word() & 0x1fffff;
    return (high * 2 ** 32 + this.word()) / 2 ** 53;
  }
}

// Box and Muller 1958 as PyTorch has it: eight radii, then eight angles; what is left in the end is drawn once more with
// what comes before it. Fewer than sixteen numbers are drawn in another way.
function normal(numbers, seed) {
  const random = new Twister(seed);
  if (numbers < 16) return few(numbers, random);
  const values = Float32Array.from({ length: numbers }, () => random.uniform());
  for (let start = 0; start + 16 <= numbers; start += 16) turn(values, start);
  if (numbers % 16) {
    for (let i = numbers - 16; i < numbers; i++) values[i] = random.uniform();
    turn(values, numbers - 16);
  }
  return values;
}
function turn(values, start) {
  for (let i = start; i < start + 8; i++) {
    const radius = Math.sqrt(-2 * Math.log(1 - values[i]));
    const angle = 2 * Math.PI * values[i + 8];
    values[i] = radius * Math.cos(angle);
    values[i + 8] = radius * Math.sin(angle);
  }
}
function few(numbers, random) {
  const values = [];
  while (values.length < numbers) {
    const angle = 2 * Math.PI * random.uniformDouble();
    const radius = Math.sqrt(-2 * Math.log1p(-random.uniformDouble()));
    values.push(radius * Math.cos(angle), radius * Math.sin(angle));
  }
  return Float32Array.from(values.slice(0, numbers));
}

const slope = (x) => (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x); // of the error function
function erf(x) {
  let term = x;
  let sum = x;
  for (let n = 1; n < 200 && Math.abs(term) > 1e-17; n++) {
    term *= (2 * x * x) / (2 * n + 1);
    sum += term;
  }
  return slope(x) * sum;
}
function inverseErf(y) { // Winitzki's approximation, then Newton's method
  const log = Math.log(1 - y * y);
  const part = 2 / (Math.PI * 0.147) + log / 2;
  let x = Math.sign(y) * Math.sqrt(Math.sqrt(part * part - log / 0.147) - part);
  for (let i = 0; i < 4; i++) x -= (erf(x) - y) / slope(x);
  return x;
}

// latents.truncate of ganshift.
function truncate(latents, threshold, seed) {
  const random = new Twister(seed ^ description.otherStream);
  const within = erf(threshold / Math.SQRT2);
  return latents.map((latent) => {
    const redrawn = Math.SQRT2 * inverseErf((2 * random.uniformDouble() - 1) * within);
    return Math.abs(latent) > threshold ? Math.max(-threshold, Math.min(threshold, redrawn)) : latent;
  });
}

const LATENTS = description.latentDim;
const AT_ONCE = 4;
async function draw() {
  const [{ size, channels, classes, name, output }] = description.models;
  const [seed, count] = [Number(element("seed").value), Number(element("count").value)];
  const threshold = Number(element("truncation").value);
  const label = element("label")?.value ?? "";
  let latents = normal(count * LATENTS, seed);
  if (threshold <= 3) latents = truncate(latents, threshold, seed);
  const columns = Math.ceil(Math.sqrt(count));
  const gap = count > 1 ? 2 : 0;
  const images = [];
  for (let first = 0; first < count; first += AT_ONCE) {
    const n = Math.min(AT_ONCE, count - first);
    const inputs = { latents: { type: "float32", data: latents.slice(first * LATENTS, (first + n) * LATENTS), dims: [n, LATENTS] } };
    if (classes.length) {
      const labels = Array.from({ length: n }, (_, i) => BigInt(label === "" ? (first + i) % classes.length : label));
      inputs.labels = { type: "int64", data: BigInt64Array.from(labels), dims: [n] };
    }
    const { data } = await ask("run", { name, inputs, output });
    const length = data.length / n;
    for (let i = 0; i < n; i++) images.push(pixels(data.subarray(i * length), size, size, channels));
  }
  result.width = result.height = columns * (size + gap) - gap;
  const context = result.getContext("2d");
  images.forEach((image, i) => context.putImageData(image, (i % columns) * (size + gap), Math.floor(i / columns) * (size + gap)));
  result.ariaLabel = `${count === 1 ? "A generated image" : `${count} generated images`} of seed ${seed}`;
  await show();
  const options = [`-n ${count}`, `--seed ${seed}`];
  if (threshold <= 3) options.push(`--truncation ${threshold}`);
  if (label !== "") options.push(`--label ${label}`);
  return `The same as ganshift generate with ${options.join(" ")}`;
}
form.addEventListener("submit", (event) => {
  event.preventDefault();
  busy("Drawing.", draw);
});
element("another").addEventListener("click", () => {
  element("seed").stepUp();
  if (form.reportValidity()) busy("Drawing.", draw);
});
element("truncation").addEventListener("input", ({ target }) => {
  const said = Number(target.value) > 3 ? "off" : target.value;
  element("threshold").value = said;
  target.setAttribute("aria-valuetext", said);
});
busy("Loading the model.", async () => {
  await load();
  return draw();
});
